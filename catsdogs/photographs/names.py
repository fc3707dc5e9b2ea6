"""Names of photographs and classes: their order, their suffixes, and one name in all its spellings."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import takewhile
from pathlib import PurePosixPath

from catsdogs.photographs.filetypes import PHOTO_SUFFIXES

_BARE_SUFFIXES = {suffix.removeprefix(".") for suffix in PHOTO_SUFFIXES}
_DIGIT_RUNS = re.compile(r"(\d+)")
_MAX_DIGITS = 1000  # of a number that count in the order of names; Python refuses to parse far longer numbers


def natural_key(text: str) -> tuple[list[str | int], str]:
    """A sort key by which `cat.10` follows `cat.9`; the text itself breaks ties such as `01` and `1`."""
    parts: list[str | int] = list(_DIGIT_RUNS.split(text))
    parts[1::2] = [int(str(number)[:_MAX_DIGITS]) for number in parts[1::2]]
    return parts, text


def without_suffix(name: str) -> str:
    """`train/cat.0.jpg` -> `train/cat.0`, and `cat.0` stays."""
    stem, _, suffix = name.rpartition(".")
    return stem if suffix.lower() in _BARE_SUFFIXES and stem[-1:] not in ("", "/") else name


def common_folder(names: Sequence[str]) -> str:
    """The path of the deepest folder, with its slash, that every name starts with."""
    folders = {name.rpartition("/")[0] for name in names}  # few, where names are many
    levels = zip(*(PurePosixPath(folder).parts for folder in folders), strict=False)
    return "".join(f"{level[0]}/" for level in takewhile(lambda level: len(set(level)) == 1, levels))


def leads_elsewhere(name: str) -> bool:
    """Whether a relative path, with slashes or backslashes, can lead out of the folder that it starts from."""
    parts = name.replace("\\", "/").split("/")
    return not parts[0] or ".." in parts or "\0" in name or re.match(r"[A-Za-z]:|[^/]+://", name) is not None


def one_form(text: str) -> str:
    """One form for all of Unicode's ways to write a text: macOS keeps `é` in two characters, others in one."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def loose(name: str) -> str:
    """A name by its letters and digits alone: `Has Cactus` for has_cactus."""
    return "".join(filter(str.isalnum, one_form(name).lower()))


class Names:
    """Names that are found in other spellings, too: in another Unicode form, or with blanks around them."""

    def __init__(self, names: Iterable[str]) -> None:
        self._known: dict[str, str] = {}
        self._bare: dict[str, set[str]] = {}
        for name in names:
            self._known[name] = name
            form = one_form(name)
            self._known.setdefault(form, name)
            self._bare.setdefault(form.strip(), set()).add(form)

    def find(self, spelling: str) -> str | None:
        """The name that is meant; None if there is none, or if it could be several."""
        form = one_form(spelling)
        name = self._known.get(spelling) or self._known.get(form)
        if name is None and len(same := self._bare.get(form.strip(), set())) == 1:
            name = self._known[next(iter(same))]
        return name
