"""EfficientNetLite0 on an engine."""

import tempfile
from pathlib import Path

from catsdogs.networks import weights
from catsdogs.networks.engines import selection
from catsdogs.networks.engines.interface import Network
from catsdogs.networks.table import BACKBONES
from tests.conftest import need

LITE0 = BACKBONES["EfficientNetLite0"]
BATCH = 4


def lite0(engine: str, precision: str) -> Network:
    """`torch` runs timm's own, with the same weights."""
    need(str(LITE0.package))
    if engine == "torch":
        from tests.support import timm_networks

        with tempfile.TemporaryDirectory() as folder:
            backbone, found = timm_networks.lite0(Path(folder))
            return selection.create_engine(engine, precision, BATCH).load(backbone, found)
    return selection.create_engine(engine, precision, BATCH).load(LITE0, weights.obtain(LITE0, None))
