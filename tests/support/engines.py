"""EfficientNetLite0 on an engine."""

from catsdogs.networks import weights
from catsdogs.networks.engines import selection
from catsdogs.networks.engines.interface import Network
from catsdogs.networks.table import BACKBONES
from tests.conftest import need

LITE0 = BACKBONES["EfficientNetLite0"]
BATCH = 4


def lite0(engine: str, precision: str) -> Network:
    need(str(LITE0.package))
    return selection.create_engine(engine, precision, BATCH).load(LITE0, weights.obtain(LITE0, None))
