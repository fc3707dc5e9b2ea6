"""Names of photographs and classes: their order, their suffixes, and one name however it is written."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from catsdogs.photographs.filetypes import PHOTO_SUFFIXES

_BARE_SUFFIXES = {suffix.removeprefix(".") for suffix in PHOTO_SUFFIXES}
_DIGITS = re.compile(r"(\d+)")
_MAX_DIGITS = 1000  # of a number that counts in the order of names; Python refuses to read far longer ones


def natural_key(text: str) -> tuple[list[str | int], str]:
    """A sort key by which `cat.10` follows `cat.9`; the text itself breaks ties such as `01` and `1`."""
    parts: list[str | int] = list(_DIGITS.split(text))
    parts[1::2] = [int(str(number)[:_MAX_DIGITS]) for number in parts[1::2]]
    return parts, text


def without_suffix(name: str) -> str:
    """`train/cat.0.jpg` -> `train/cat.0`, and `cat.0` stays."""
    stem, _, suffix = name.rpartition(".")
    return stem if suffix.lower() in _BARE_SUFFIXES and stem[-1:] not in ("", "/") else name


def common_folder(names: Sequence[str]) -> str:
    """The folder, with its slash, that every name starts with."""
    parts: list[str] = []
    folders = {name.rpartition("/")[0] for name in names}  # few, where names are many
    for level in zip(*(PurePosixPath(folder).parts for folder in folders), strict=False):
        if len(set(level)) > 1:
            break
        parts.append(level[0])
    return "".join(f"{part}/" for part in parts)


def leads_elsewhere(name: str) -> bool:
    """Whether a name, with either slash, is not that of something below the folder that it is seen from."""
    parts = name.replace("\\", "/").split("/")
    return not parts[0] or ".." in parts or "\0" in name or re.match(r"[A-Za-z]:|[^/]+://", name) is not None


def one_form(text: str) -> str:
    """The same for all of Unicode's ways to write one text: macOS keeps `é` in two characters, others in one."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


class Names:
    """Names to be found as somebody else writes them: as they are, in another Unicode form, or with blanks around."""

    def __init__(self, names: Iterable[str]) -> None:
        self._known: dict[str, str] = {}
        self._bare: dict[str, set[str]] = {}
        for name in names:
            self._known[name] = name
            form = one_form(name)
            self._known.setdefault(form, name)
            self._bare.setdefault(form.strip(), set()).add(form)

    def find(self, written: str) -> str | None:
        """The name that is meant; None if there is none, or if it could be several."""
        form = one_form(written)
        found = self._known.get(written) or self._known.get(form)
        if found is None and len(same := self._bare.get(form.strip(), set())) == 1:
            found = self._known[next(iter(same))]
        return found
