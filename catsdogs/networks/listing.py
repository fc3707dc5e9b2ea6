"""Which networks can be named, and what each costs."""

import difflib
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from importlib import util

from catsdogs.errors import UnknownNameError, UsageError
from catsdogs.networks import trained, weights
from catsdogs.networks.quiet import INSTALL_TIMM, importing_timm
from catsdogs.networks.table import BACKBONES, HUB, TIMM, Backbone

DESCRIBED = 40  # of timm's networks that match; to ask it of one takes a fraction of a second


def names(pattern: str) -> list[str]:
    """The names that a pattern such as `*ResNet*` or `timm:vit_small*` matches; its case does not matter.

    Without a wildcard it matches anywhere in a name. timm's networks are among them where the pattern begins
    with `timm`. One that begins with `hub` is the name of a preset of KerasHub.

    Raises:
        UnknownNameError: it matches none.
        UsageError: it asks for timm's networks, and timm is not installed.
    """
    if pattern.startswith((f"{HUB}:", f"{HUB}-")):
        return [pattern]
    wanted = re.sub(r"^timm-", "timm:", pattern.lower())
    if not set(wanted) & {*"*?["}:
        wanted = f"*{wanted}*"
    known = [*trained.names(), *BACKBONES]
    if wanted.lstrip("*").startswith(TIMM):
        if not util.find_spec(TIMM):
            raise UsageError("timm's networks need the package timm", INSTALL_TIMM)
        known += [f"{TIMM}:{model}" for model in _models_of_timm()]
    found = [name for name in known if fnmatchcase(name.lower(), wanted)]
    if not found:
        plain = re.sub(r"[*?\[\]]", "", wanted)
        beginnings = {name.lower()[: len(plain)]: name for name in reversed(known)}
        close = difflib.get_close_matches(plain, beginnings, n=5, cutoff=0)
        raise UnknownNameError("network", pattern, [beginnings[beginning] for beginning in close])
    return found


def is_at_hand(backbone: Backbone, weights_dir: str | None) -> bool:
    """Whether the weights of a network are on this machine; a WeightsError if there is no such folder."""
    return bool(backbone.trained) or weights.find_file(backbone, weights_dir) is not None


def vectors(backbone: Backbone) -> Iterator[str]:
    """Each vector that a network offers with its width, the usual one first."""
    if not backbone.offers:
        yield f"mean {backbone.width:,}"
    for offered in backbone.offers:
        yield f"{offered.kind} {offered.stop - offered.start:,}"


def _models_of_timm() -> list[str]:
    with importing_timm():
        from catsdogs.networks.engines import timm_facts
    return timm_facts.pretrained()
