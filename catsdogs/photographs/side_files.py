"""The files beside photographs: tables, sample submissions and COCO's JSON, each read when it is needed."""

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from catsdogs.errors import DatasetError, UnreadablePhotographError
from catsdogs.files import tables
from catsdogs.files.tables import NoTableError
from catsdogs.photographs import coco, sample
from catsdogs.photographs.coco import Coco
from catsdogs.photographs.label_tables import PhotographNames
from catsdogs.photographs.labels import by_roles
from catsdogs.photographs.locations import Location, Reader
from catsdogs.photographs.sample import Sample
from catsdogs.photographs.splits import TEST, Placement


class SideFiles:
    """The files of a data set that are no photographs, read when they are needed."""

    def __init__(self, root: Path, files: Mapping[str, Location], sample_name: str = "") -> None:
        """`sample_name` is that of the sample submission in `files`, if a person gave it."""
        self.root, self._files, self._sample_name = str(root), files, sample_name
        self._reader, self._known = Reader(), dict[str, str]()

    @property
    def names(self) -> list[str]:
        """The names of all files, photographs among them."""
        return list(self._files)

    @property
    def tables(self) -> list[str]:
        """The names of all tables but sample submissions."""
        return [name for name in self._files if name.lower().endswith(".csv") and not sample.is_sample(name)]

    def read(self, name: str) -> str:
        """The text of a file, which is read once.

        Raises:
            DatasetError: it cannot be read.
        """
        if name not in self._known:
            self._known[name] = self._read(self._files[name])
        return self._known[name]

    def read_those_that_can_be(self, suffix: str) -> dict[str, str]:
        """Name -> text of each file of this suffix but samples; any may hold what it likes, even no text."""
        found = {}
        for name in self._files:
            if name.lower().endswith(suffix) and not sample.is_sample(name):
                with contextlib.suppress(DatasetError):
                    found[name] = self.read(name)
        return found

    def _read(self, location: Location) -> str:
        try:
            return tables.decode(self._reader.read(location))[0]
        except (UnreadablePhotographError, NoTableError) as error:
            reason = error.reason if isinstance(error, UnreadablePhotographError) else str(error)
            raise DatasetError(
                f"{location} is not a table: {reason}", "Check its name, save it as CSV in UTF-8, or remove it"
            ) from None

    @cached_property
    def sample(self) -> tuple[str, str] | None:
        """The name and text of the sample submission, if there is one."""
        if self._sample_name:
            return self._sample_name, self.read(self._sample_name)
        named = [name for name in self._files if sample.is_sample(name)]
        chosen = sample.choose_sample({name: self.read(name) for name in named}, self.root)
        return (chosen, self.read(chosen)) if chosen else None

    @cached_property
    def annotations(self) -> list[Coco]:
        """What the JSON files of COCO's form say."""
        parsed = (coco.parse(name, text) for name, text in self.read_those_that_can_be(".json").items())
        return [one for one in parsed if one]


def read_sample(texts: SideFiles, where: Mapping[str, Placement], name: str, text: str) -> Sample:
    """The sample submission of this name and text, and which of the photographs placed `where` it asks for."""
    by_role = by_roles(where)
    groups = [by_role[TEST], *(of_role for role, of_role in by_role.items() if role != TEST)]
    known = PhotographNames(filter(None, groups), lambda name: where[name].below)

    def meanings() -> Iterable[tuple[str, dict[str, str]]]:
        for told in sorted(texts.annotations, key=lambda told: bool(told.categories)):  # those to predict have none
            yield told.name, _only_photographs(told.files, known.matching)
        for other, text in texts.read_those_that_can_be(".csv").items():
            yield from _meanings_in_table(other, text, known)

    return sample.read_sample(name, text, known.matching, meanings, texts.root)


def _only_photographs(files: Mapping[str, str], matching: Callable[[str], Sequence[str]]) -> dict[str, str]:
    """Number -> photograph, of the files that are there."""
    found = ((id, matching(written)) for id, written in files.items())
    return {id: fits[0] for id, fits in found if len(fits) == 1}


def _meanings_in_table(name: str, text: str, known: PhotographNames) -> Iterable[tuple[str, dict[str, str]]]:
    """Of a table with a column of photographs: what each other column calls them."""
    try:
        parsed = tables.parse_table(text)
    except NoTableError:
        return
    rows = [row for row in parsed.rows if len(row) == len(parsed.header)]
    named = [
        (column, [fits[0] if len(fits := known.matching(row[column])) == 1 else "" for row in rows])
        for column in range(len(parsed.header))
    ]
    column, photographs = max(named, key=lambda entry: sum(map(bool, entry[1])), default=(0, []))
    if any(photographs):
        for other in range(len(parsed.header)):
            if other != column:
                pairs = [(row[other].strip(), photograph) for row, photograph in zip(rows, photographs, strict=True)]
                meanings = {value: photograph for value, photograph in pairs if photograph}
                if len(meanings) == sum(bool(photograph) for _, photograph in pairs):  # a label occurs again
                    yield name, meanings
