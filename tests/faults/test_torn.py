"""Power loss, simulated: the order in which files reach the disk, and files torn at every block."""

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from catsdogs.cleaning import decisions, suspect_table
from catsdogs.competition import submission
from catsdogs.errors import CatsdogsError, DamagedError
from catsdogs.features import feature_file
from catsdogs.features.cache import Cache
from catsdogs.files import seal
from catsdogs.networks import trained
from catsdogs.photographs import stamps, tfrecord
from catsdogs.runs import out_of_fold, run_card
from catsdogs.scoring import kept_heads
from tests.conftest import Command
from tests.faults import commands
from tests.faults.commands import BACKBONE, FEATURES, TRAIN
from tests.faults.matrix import FULL
from tests.support.datasets import write_kaggle_folder
from tests.support.features import recipe, rows_of, table
from tests.support.networks import CARD

pytestmark = pytest.mark.fault("torn")

BLOCK = 512  # bytes: the least that a disk writes as a whole
_ALL = (
    FEATURES,
    ("outliers", "--backbones", BACKBONE, "--all"),
    TRAIN,
    (*TRAIN, "--force"),
    ("report", "--name", "run"),
    ("predict", "--name", "run", "--data", "data/test"),
    ("compare", "--heads", "logistic", "--backbones", BACKBONE, "--folds", "2"),
    ("shards", "--data", "data", "--out", "packed", "--count", "2"),
)
# Every command in one process, and three decisions.
_DRIVER = """
import json, sys
from pathlib import Path
from catsdogs import cli
from catsdogs.cleaning import decisions
from catsdogs.features import extract
from catsdogs.photographs import stamps
extract.SHARD_ROWS = 4
stamps.SETTLED_NS = -(10**12)  # the photographs are new, and are to have stamps all the same
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["catsdogs", *arguments]
    try:
        cli.main()
    except SystemExit as stop:
        assert not stop.code, (arguments, stop.code)
for number in range(3):
    decision = decisions.Decision(f"cat.{number}", "relabel", "dog")
    decisions.decide(Path("features/decisions.csv"), decision, ("cat", "dog"))
"""
# Written where they stand: what is in them does not matter, only that they are there; and the files of libraries.
_IN_PLACE = re.compile(r".*/(\.lock|\.decisions\.lock|packed/\.unfinished)")
_CALL = re.compile(r"\d+ +(\w+)\((.*)")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What all commands leave, and under `trace` how it reached the disk, where that can be seen."""
    folder = tmp_path_factory.mktemp("torn")
    write_kaggle_folder(folder / "data", cats=8, dogs=8, test=5)
    seen = (str(commands.STRACE), "-f", "-y", "-s", "512", "-o", str(folder / "trace"), f"--trace={commands.CHANGES}")
    status, _, err = commands.ended(folder, json.dumps(_ALL), before=seen if commands.STRACE else (), code=_DRIVER)
    assert status == 0, err
    return folder


def test_data_are_on_the_disk_before_they_have_a_name(project: Path, saw: Callable[[str], None]) -> None:
    """What was written is synced before a rename gives it its name, and the folder of the name after that."""
    if not commands.STRACE:
        pytest.skip("strace is not installed")
    unsynced: set[str] = set()
    unnamed: Counter[str] = Counter()  # folder -> renames in it that it may yet forget
    wrong, renames = [], 0
    for name, arguments in _calls(project / "trace"):
        described = re.match(r"\d+<([^>]*)>", arguments)
        path = str(project / described[1]) if described else ""
        match name:
            case "write" | "pwrite64" | "ftruncate" if path.startswith(str(project)):
                unsynced.add(path)
            case "fsync":
                unsynced.discard(path)
                unnamed.pop(path, None)
            case "rename":
                old, new = (str(project / part) for part in re.findall(r'"([^"]*)"', arguments)[:2])
                # A name that is given up, not one that is given; a cache that carries checksums.
                if new.endswith(".old") or not new.startswith(str(project)):
                    continue
                wrong += [f"{new}: {path}" for path in unsynced if path == old or path.startswith(f"{old}/")]
                unnamed[str(Path(new).parent)] += 1
                renames += 1
    assert not wrong
    assert not unnamed
    left = {path for path in unsynced if Path(path).exists() and not _IN_PLACE.fullmatch(path)}
    assert left <= {str(project / "trace")}
    assert renames > 20
    saw(f"fsync before and after each of {renames} renames")


def _calls(trace: Path) -> Iterator[tuple[str, str]]:
    for line in trace.read_text().splitlines():
        found = _CALL.match(line)
        if found:
            yield found[1], found[2]


def torn(data: bytes, seed: int) -> Iterator[tuple[str, bytes]]:
    """Everything that may become of a file when one block, or all from one block on, did not reach the disk."""
    garbage = np.random.default_rng(seed).bytes(len(data))
    for start in range(0, len(data), BLOCK):
        end = min(start + BLOCK, len(data))
        yield "cut there", data[:start]
        yield "zeros from there", data[:start] + bytes(len(data) - start)
        yield "a block of zeros", data[:start] + bytes(end - start) + data[end:]
        yield "an older block", data[:start] + garbage[start:end] + data[end:]


def read_torn(path: Path, read: Callable[[], Any]) -> Counter[str]:
    """How reading ends, `read` as it was or not, for each way to tear a file, which is whole again afterwards."""
    data, wanted, ends = path.read_bytes(), read(), Counter[str]()
    for number, (how, bytes_) in enumerate(torn(data, seed=len(data))):
        if bytes_ == data:
            continue
        fresh = path.with_name(f"{number}.new")  # an inode of its own, as a file that was replaced has
        fresh.write_bytes(bytes_)
        fresh.replace(path)
        try:
            found = read()
        except CatsdogsError as error:
            assert "\n" not in str(error) and error.remedy
            ends["refused"] += 1
        else:
            ends["read as it was" if found == wanted else f"not noticed: {how}"] += 1
    path.write_bytes(data)
    return ends


def _content(features: feature_file.Features) -> list[Any]:
    return [features.classes, features.labels.tolist()] + [
        [features.ids[split].tolist(), features.digests[split].tolist(), features.vectors(split).tobytes()]
        for split in feature_file.SPLITS
    ]


def test_a_torn_feature_file_is_known_by_its_checksum(
    project: Path, tmp_path: Path, saw: Callable[[str], None]
) -> None:
    path = Path(shutil.copy(project / f"features/{BACKBONE}.h5", tmp_path))
    ends = read_torn(path, lambda: _content(feature_file.read_features(path)))
    assert set(ends) <= {"refused", "read as it was"} and ends["read as it was"] <= 2  # without its seal
    saw(f"feature file torn in {ends.total()} ways, {ends['refused']} refused")


def test_a_torn_file_of_stamps_only_costs_time(project: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(project / "features" / stamps.STAMPS_FILE, tmp_path))
    whole = [array.tolist() for array in stamps._read_stamps(path)]
    for number, (_, data) in enumerate(torn(path.read_bytes(), seed=1)):
        other = tmp_path / f"{number}.h5"
        other.write_bytes(data)
        assert [array.tolist() for array in stamps._read_stamps(other)] in ([[], []], whole)


def test_torn_shards_are_computed_again(tmp_path: Path, saw: Callable[[str], None]) -> None:
    """A cache over a torn shard has none of its rows, and all of the others'."""
    entries = table(("a", "b", "c", "d"), ("1", "2"))
    cache = Cache(tmp_path, recipe())
    cache.write_shard(rows_of(entries[:3]), "none")
    (shard,) = tmp_path.rglob(".shards/*/*.h5")
    cache.write_shard(rows_of(entries[3:]), "none")
    data, tears = shard.read_bytes(), 0
    for _, spoilt in torn(data, seed=2):
        if spoilt == data or sealed_block_only(spoilt, data):
            continue
        shard.unlink(missing_ok=True)
        shard.write_bytes(spoilt)
        again = Cache(tmp_path, recipe())
        assert [entry in again for entry in entries] == [False] * 3 + [True] * 3
        tears += 1
    saw(f"shard torn in {tears} ways, computed again each time")


def sealed_block_only(spoilt: bytes, data: bytes) -> bool:
    return len(spoilt) == len(data) and spoilt[seal.USER_BLOCK_BYTES :] == data[seal.USER_BLOCK_BYTES :]


def test_a_torn_feature_file_is_set_aside_and_computed_again(
    project: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch, saw: Callable[[str], None]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("catsdogs.features.extract.SHARD_ROWS", 4)
    (tmp_path / "data").symlink_to(project / "data")
    shutil.copytree(project / "features", "features")
    path = Path(f"features/{BACKBONE}.h5")
    wanted, data = _content(feature_file.read_features(path)), path.read_bytes()
    blocks = len(data) // BLOCK
    for block in np.random.default_rng(5).choice(np.arange(1, blocks), 8 if FULL else 1, replace=False):
        spoilt = data[: block * BLOCK] + bytes(BLOCK) + data[(block + 1) * BLOCK :]
        if spoilt == data:
            continue
        path.unlink()
        path.write_bytes(spoilt)
        with pytest.raises(DamagedError):
            feature_file.read_features(path)
        code, out, err = command(*FEATURES)
        assert code == 0 and f"{path.name}.damaged" in out + err
        assert path.with_name(f"{path.name}.damaged").read_bytes() == spoilt
        assert _content(feature_file.read_features(path)) == wanted
    saw("a torn feature file set aside as .damaged, the next run writes the same again")


def test_torn_tables(project: Path, tmp_path: Path, saw: Callable[[str], None]) -> None:
    """Text that is torn is refused, or read as it was. docs/faults.md says what a table cannot know of itself."""
    run, folder = project / "submissions/run", project / "features"
    described, first = run_card.read_run(run), feature_file.read_features(folder / f"{BACKBONE}.h5")
    X = np.ones((2, sum(described.widths)), np.float32)
    sums = dict.fromkeys(("fold-1", "fold-2", trained.ALL), "0" * 64)
    trained.write_card(tmp_path / "network", replace(CARD, weights=sums, learnt="0" * 64))
    classes = ("cat", "dog")
    readers: dict[Path, Callable[[], Any]] = {
        run / run_card.RUN_FILE: lambda: run_card.read_run(run),
        run / run_card.OUT_OF_FOLD_FILE: lambda: [
            array.tolist() for array in out_of_fold.read_out_of_fold(run, described, first)
        ],
        run / run_card.SUBMISSION_FILE: lambda: [
            list(map(str, part)) for part in submission.read_submission(run / run_card.SUBMISSION_FILE, classes)
        ],
        run / kept_heads.HEAD_FILE: lambda: run_card.load_run(run).predict(X).tolist(),
        folder / suspect_table.OUTLIERS_FILE: lambda: suspect_table.read_suspects(folder / suspect_table.OUTLIERS_FILE),
        folder / decisions.DECISIONS_FILE: lambda: decisions.read_decisions(folder / decisions.DECISIONS_FILE, classes),
        tmp_path / "network" / trained.CARD_FILE: lambda: trained.read_card(tmp_path / "network"),
        project / "packed" / tfrecord.MANIFEST: lambda: tfrecord.read_manifest(project / "packed"),
    }
    for path, read in readers.items():
        ends = read_torn(path, read)
        assert set(ends) <= {"refused", "read as it was"}
        saw(f"{path.name}: {', '.join(f'{count} {end}' for end, count in ends.items())}")


def test_a_table_cut_at_the_end_of_a_line(project: Path, saw: Callable[[str], None]) -> None:
    """Those that can be held against the rows of the features are refused; the others hold fewer rows, all right."""
    run, folder = project / "submissions/run", project / "features"
    described, first = run_card.read_run(run), feature_file.read_features(folder / f"{BACKBONE}.h5")
    oof, answers = run / run_card.OUT_OF_FOLD_FILE, run / run_card.SUBMISSION_FILE
    ids = first.ids["test"].tolist()
    sample = "id,label\n" + "".join(f"{id},0.5\n" for id in ids)
    for path, read in (
        (oof, lambda: out_of_fold.read_out_of_fold(run, described, first)),
        (answers, lambda: submission.check_submission(answers, sample, described.classes)),
    ):
        for _ in _shortened(path):
            with pytest.raises(CatsdogsError):
                read()
    readers: dict[Path, Callable[[], list[Any]]] = {
        folder / suspect_table.OUTLIERS_FILE: lambda: suspect_table.read_suspects(folder / suspect_table.OUTLIERS_FILE),
        folder / decisions.DECISIONS_FILE: lambda: list(
            decisions.read_decisions(folder / decisions.DECISIONS_FILE, described.classes).values()
        ),
    }
    for path, rows in readers.items():
        whole = rows()
        for count in _shortened(path):
            assert rows() == whole[:count]
    saw("cut at a line's end: oof.csv and submission.csv refused, outliers.csv and decisions.csv read as shorter ones")


def _shortened(path: Path) -> Iterator[int]:
    """A table cut after its header and each row but the last, in turn; how many rows are left."""
    lines = path.read_bytes().splitlines(keepends=True)
    for count in range(len(lines) - 1):
        path.write_bytes(b"".join(lines[: count + 1]))
        yield count
    path.write_bytes(b"".join(lines))
