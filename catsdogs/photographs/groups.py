"""Which photographs hang together, of one patient, driver or camera, as a table, annotations or folders tell.

Folds that part such photographs flatter. A person says by what they hang together; columns of known names are offered.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from catsdogs.errors import DatasetError, in_short
from catsdogs.files import tables
from catsdogs.files.tables import NoTableError
from catsdogs.photographs import label_tables, splits
from catsdogs.photographs.label_columns import values_of
from catsdogs.photographs.label_tables import Labels, PhotographNames
from catsdogs.photographs.names import loose, one_form
from catsdogs.photographs.sample import is_index
from catsdogs.photographs.side_files import SideFiles
from catsdogs.photographs.splits import TEST

FOLDER = "folder"
_THINGS = (
    *("patient", "subject", "person", "case", "study", "lesion", "slide", "driver", "rider", "user", "owner"),
    *("location", "site", "camera", "station", "individual", "animal", "burst", "seq", "sequence", "video", "session"),
)
_KNOWN = {loose(thing + ending) for thing in _THINGS for ending in ("", "_id", "_name", "_no", "_number")}
_START = 4096  # characters of a table, in which its first line is looked for
_REMEDY = "Give --groups one of these, or folder, or folder:2, the second level of folders from the root of the data"


class Offer(NamedTuple):
    """A column by which photographs may hang together.

    Attributes:
        source, column: the file, and its column.
        groups: how many different values it has.
        photographs: of how many photographs to learn from.
    """

    source: str
    column: str
    groups: int
    photographs: int


class _Column(NamedTuple):
    """A column of a table, or what annotations say of images.

    Attributes:
        source, name: the file, and what the column is called in it.
        groups: photograph to learn from -> what the column says of it, where that is not empty.
        clash: a photograph, and two different things that it says of it, if there is one.
    """

    source: str
    name: str
    groups: dict[str, str]
    clash: tuple[str, ...]


class Grouping:
    """The photographs to learn from, and the files that may say how they hang together."""

    def __init__(
        self, texts: SideFiles, labelled: Mapping[str, str], known: Callable[[], PhotographNames], labels: Labels
    ) -> None:
        """The photographs that are `labelled`, with their labels.

        `known` makes the spellings of all that can be learnt from, when they are needed. `labels` says which columns
        hold the labels and the names of files: by these nothing hangs together.
        """
        self._texts, self._labelled, self._known, self._labels = texts, labelled, known, labels

    def of(self, given: str) -> dict[str, str]:
        """Photograph -> its group, by a column or a level of folders; those in none are left out.

        Args:
            given: `folder`, or `folder:2`, the second from the root of the data; a column, also after a table and a
                colon.

        Raises:
            DatasetError: there is no such column or level, or nothing hangs together by it.
        """
        kind, _, level = given.partition(":")
        if kind.strip().lower() == FOLDER and (not level or level.strip().isdecimal()):
            return self._checked(self._in_folders(int(level or 0), given), f"--groups {given}")
        column = self._column(given)
        if column.clash:
            photograph, one, other = column.clash
            raise DatasetError(
                f"{self._texts.root}: {column.source} has {photograph} in two groups of {column.name}, {one} and "
                f"{other}",
                "Keep each photograph in one",
            )
        return self._checked(column.groups, f"{column.source}: by {column.name}")

    def offers(self) -> list[Offer]:
        """The columns of known names that make fewer groups than photographs; of several of one name the fullest."""
        best: dict[str, Offer] = {}
        is_annotated = self._labels.source.lower().endswith(
            ".json"
        )  # others are not read unasked, for they may be large
        for column in self._columns(lambda name: loose(name) in _KNOWN, is_annotated):
            groups = column.groups
            offer = Offer(column.source, column.name, len({*groups.values()}), len(groups))
            if column.clash or not 1 < offer.groups < offer.photographs or self._says_labels(groups):
                continue
            if (key := loose(column.name)) not in best or offer.photographs > best[key].photographs:
                best[key] = offer
        return list(best.values())

    def _column(self, given: str) -> _Column:
        """The column that a person means: of the table of labels, else of that which tells of most photographs."""
        table, _, short = given.rpartition(":")
        every = list(self._columns(lambda name: True, has_annotations=True))
        for is_alike in (_is_same, lambda name, wanted: loose(name) == loose(wanted) != ""):
            meant = [
                column
                for column in every
                if is_alike(column.name, given)
                or (table and _is_file(column.source, table) and is_alike(column.name, short))
            ]
            if meant:
                best = max(meant, key=lambda column: (column.source == self._labels.source, len(column.groups)))
                if best.groups:
                    return best
                raise DatasetError(
                    f"{self._texts.root}: {best.source} has in {best.name} nothing about any of the "
                    f"{len(self._labelled):,} labelled photographs",
                    _REMEDY,
                )
        used = [name for name in self._labels.columns if _is_same(name, short or given)]
        if used:
            raise DatasetError(
                f"{self._texts.root}: {self._labels.source} has in {used[0]} the labels, or the names of photographs: "
                "nothing hangs together by it",
                _REMEDY,
            )
        there = Counter({f"{column.source}:{column.name}": len(column.groups) for column in every})
        raise DatasetError(
            f"{self._texts.root}: no table that names the photographs has a column {given}; there is "
            f"{in_short([name for name, count in there.most_common() if count])}",
            _REMEDY,
        )

    def _columns(self, is_wanted: Callable[[str], bool], has_annotations: bool) -> Iterable[_Column]:
        """The wanted columns of all files that name photographs, besides those of labels and names of photographs.

        The file that the labels are from is the first.
        """
        contents = self._texts.read_those_that_can_be(".csv")
        for source in sorted(contents, key=lambda name: name != self._labels.source):
            yield from self._columns_in(source, contents[source], is_wanted)
        for told in self._texts.annotations if has_annotations else ():
            for key in filter(is_wanted, told.keys):
                values = told.details(key).items()
                yield self._told(told.name, key, ((self._photograph(file), value) for file, value in values))

    def _columns_in(self, source: str, text: str, is_wanted: Callable[[str], bool]) -> Iterable[_Column]:
        split = splits.split_of(PurePosixPath(source).stem)
        if (split and split.role == TEST) or not any(map(is_wanted, _words(text[:_START]))):
            return  # its ids may be those of photographs to learn from, which it does not mean
        try:
            parsed = tables.parse_table(text)
        except NoTableError:
            return
        found = label_tables.naming_column(parsed, self._known())
        if not found:
            return
        file, photographs = found
        used = {*self._labels.columns} if source == self._labels.source else set()
        for number, name in enumerate(map(str.strip, parsed.header)):
            if number != file and name not in used and not is_index(name) and is_wanted(name):
                yield self._told(source, name, zip(photographs, values_of(parsed, number), strict=True))

    def _told(self, source: str, name: str, pairs: Iterable[tuple[str | None, str]]) -> _Column:
        groups: dict[str, str] = {}
        clash: tuple[str, ...] = ()
        for photograph, value in pairs:
            if photograph is None or photograph not in self._labelled or not value:
                continue
            if (first := groups.setdefault(photograph, value)) != value:
                clash = clash or (photograph, first, value)
        return _Column(source, name, groups, clash)

    def _photograph(self, file: str) -> str | None:
        fits = self._known().matching(file)
        return fits[0] if len(fits) == 1 else None

    def _in_folders(self, level: int, given: str) -> dict[str, str]:
        """Photograph -> the folder that it lies in, or that of a level, counted from the root of the data by 1."""
        if level == 0:
            return {name: folder for name in self._labelled if (folder := name.rpartition("/")[0])}
        parents = {name: name.split("/")[:-1] for name in self._labelled}
        groups = {name: "/".join(folders[:level]) for name, folders in parents.items() if len(folders) >= level}
        if not groups:
            raise DatasetError(
                f"{self._texts.root}: --groups {given}, and no labelled photograph lies so deep: "
                f"{min(self._labelled, key=len)}",
                "Count the folders from the root of the data set",
            )
        return groups

    def _checked(self, groups: dict[str, str], by: str) -> dict[str, str]:
        """The groups, if they say something."""
        count = len({*groups.values()})
        if count < 2:
            wrong = "all are of one group" if count else "none is in a group"
        elif count == len(groups):
            wrong = "each is alone in its group"
        elif self._says_labels(groups):
            wrong = "each group is all photographs of one label"
        else:
            return groups
        raise DatasetError(
            f"{self._texts.root}: {by} no photographs hang together, for of {len(self._labelled):,} {wrong}",
            "Give --groups the column or the level of folders that says which do, or leave it out",
        )

    def _says_labels(self, groups: Mapping[str, str]) -> bool:
        """Whether groups and labels are one to one."""
        pairs = {(group, self._labelled[name]) for name, group in groups.items()}
        return len(pairs) == len({group for group, _ in pairs}) == len({label for _, label in pairs})


def _words(text: str) -> Sequence[str]:
    """The cells of a table's first two lines, one of which may say `sep=;`; a comma in a cell counts for two."""
    cells = re.split(rf"[{re.escape(tables.DELIMITERS)}]", "\t".join(text.splitlines()[:2]))
    return [cell.strip(' "') for cell in cells]


def _is_same(name: str, wanted: str) -> bool:
    return one_form(name.strip()) == one_form(wanted.strip())


def _is_file(source: str, table: str) -> bool:
    return PurePosixPath(source).parts[-len(PurePosixPath(table).parts) :] == PurePosixPath(table).parts
