"""timm's networks as rows of the table. What PyTorch has to tell of them is kept, since to import it takes seconds."""

import contextlib
import hashlib
import json
from importlib import metadata
from pathlib import Path

from catsdogs.errors import StoreError, UsageError
from catsdogs.files import atomic
from catsdogs.networks.quiet import INSTALL_TIMM, importing_timm
from catsdogs.networks.table import Backbone, as_card, from_card

_CODE = [Path(__file__).parent / name for name in ("table.py", "timm_rows.py", "engines/timm_facts.py")]


def row(model: str, size: int = 0) -> Backbone:
    """The row of a network by timm's name, at its own input size (0) or another, in pixels.

    Without a tag it is the tag that timm takes. `model` of the row has it, and its name is `timm-` and this.

    Raises:
        UsageError: timm is not installed, or the network does not take this size, or gives no vector.
        UnknownNameError: timm has no such network, or not with this tag.
    """
    try:
        version = metadata.version("timm")
    except metadata.PackageNotFoundError:
        raise UsageError(f"timm:{model} needs the package timm", INSTALL_TIMM) from None
    described = [model, str(size), version, *(path.read_text(encoding="utf-8") for path in _CODE)]
    card = atomic.cache_folder() / "timm" / f"{hashlib.sha256(repr(described).encode()).hexdigest()[:16]}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # none yet, or damaged
        return from_card(json.loads(card.read_text(encoding="utf-8")))
    with importing_timm():
        from catsdogs.networks.engines import timm_facts
    backbone = timm_facts.describe(model, size)
    with contextlib.suppress(StoreError), atomic.replacing(card) as temporary:  # else the next run asks again
        temporary.write_text(json.dumps(as_card(backbone)), encoding="utf-8")
    return backbone
