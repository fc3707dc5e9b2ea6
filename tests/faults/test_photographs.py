"""Photographs that change between runs in every way: exactly their rows follow, and nothing else is computed."""

import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from catsdogs.errors import UnreadablePhotographError
from catsdogs.features import feature_file
from catsdogs.features.extract import Extraction, Settings, extract
from catsdogs.features.feature_file import Features
from catsdogs.photographs import images
from catsdogs.photographs.dataset import scan
from tests.faults.commands import BACKBONE
from tests.faults.matrix import FULL
from tests.support.datasets import jpeg, write_kaggle_folder

pytestmark = [pytest.mark.fault("photographs"), pytest.mark.usefixtures("networks_are_loaded_once")]

_RUNS = 100 if FULL else 5


class Photographer:
    """Somebody at work in the folder between runs; each way of changing it is a method."""

    def __init__(self, root: Path, seed: int) -> None:
        self.root, self.random, self.taken = root, np.random.default_rng(seed), 100

    @property
    def photographs(self) -> list[Path]:
        return sorted(path for path in self.root.rglob("*.jpg") if path.is_file())

    def any(self) -> Path:
        there = self.photographs
        return there[int(self.random.integers(len(there)))]

    def new(self) -> bytes:
        self.taken += 1
        return jpeg(self.taken)

    def name(self, like: Path) -> Path:
        """A free name in the folder of another photograph, of either class."""
        self.taken += 1
        kind = "" if like.parent.name == "test" else str(self.random.choice(["cat.", "dog."]))
        return like.with_name(f"{kind}{self.taken}.jpg")

    def change(self) -> None:
        self.any().write_bytes(self.new())

    def change_in_secret(self) -> None:
        """Of the same size and date, by the same inode."""
        path = self.any()
        before = path.stat()
        path.write_bytes(self.new().ljust(before.st_size, b"\0")[: before.st_size])
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    def exchange(self) -> None:
        """Another file of the same size and date takes the name."""
        path = self.any()
        before, other = path.stat(), path.with_suffix(".new")
        other.write_bytes(self.new().ljust(before.st_size, b"\0")[: before.st_size])
        os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
        other.replace(path)

    def touch(self) -> None:
        self.any().touch()

    def rename(self) -> None:
        path = self.any()
        path.rename(self.name(path))

    def swap(self) -> None:
        """Two photographs take each other's names, and so perhaps each other's classes."""
        one, other = self.any(), self.any()
        between = one.with_suffix(".between")
        one.rename(between)
        if one != other:
            other.rename(one)
        between.rename(other)

    def copy(self) -> None:
        path = self.any()
        self.name(path).write_bytes(path.read_bytes())

    def remove(self) -> None:
        path = self.any()
        if len(list(path.parent.iterdir())) > 3:
            path.unlink()

    def add(self) -> None:
        self.name(self.any()).write_bytes(self.new())

    def cut(self) -> None:
        """Half a file, as of a download that broke off."""
        path = self.any()
        path.write_bytes(path.read_bytes()[:300])


EDITS = ("change", "change_in_secret", "exchange", "touch", "rename", "swap", "copy", "remove", "add", "cut")


def run(data: Path, out: Path) -> tuple[Extraction, Features]:
    summary = extract(scan(data), [BACKBONE], out, Settings())
    return summary, feature_file.read_features(summary.paths[0])


def digests(features: Features) -> set[int]:
    return {int(digest) for split in feature_file.SPLITS for digest in features.digests[split]}


def readable(path: Path) -> bool:
    try:
        images.square(path.read_bytes(), 8)
    except UnreadablePhotographError:
        return False
    return True


def test_exactly_the_rows_of_what_changed_follow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saw: Callable[[str], None]
) -> None:
    """After each run the file is what a first run over the folder would write, and only new pictures were computed."""
    monkeypatch.setattr("catsdogs.features.extract.SHARD_ROWS", 4)
    # What changed in the last seconds is read again in any case; here it is to be told by its stamp.
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() + 10**10)
    data, out = write_kaggle_folder(tmp_path / "data", cats=5, dogs=5, test=4), tmp_path / "features"
    photographer = Photographer(data, seed=3)
    _, before = run(data, out)
    done, computed = Counter[str](), 0
    for number in range(_RUNS):
        chosen = photographer.random.choice(EDITS, size=int(photographer.random.integers(1, 4)))
        for edit in [EDITS[number % len(EDITS)], *map(str, chosen)]:
            getattr(photographer, edit)()
            done[edit] += 1
        summary, after = run(data, out)
        there = {path: images.digest(path.read_bytes()) for path in photographer.photographs if readable(path)}
        fresh = [path for path, digest in there.items() if digest not in digests(before)]
        assert summary.computed[BACKBONE] == len(fresh)
        _, wanted = run(data, tmp_path / str(number))
        same(after, wanted)
        before, computed = after, computed + len(fresh)
    saw(f"{done.total()} edits of {len(EDITS)} kinds in {_RUNS} runs, {computed} rows computed, none stale")


def same(after: Features, wanted: Features) -> None:
    assert after.classes == wanted.classes and after.unreadable == wanted.unreadable
    assert after.labels.tolist() == wanted.labels.tolist()
    for split in feature_file.SPLITS:
        assert after.ids[split].tolist() == wanted.ids[split].tolist()
        assert after.digests[split].tolist() == wanted.digests[split].tolist()
        # The same picture in another batch differs in the last bits.
        np.testing.assert_allclose(after.vectors(split), wanted.vectors(split), rtol=1e-3, atol=1e-4)
        np.testing.assert_array_equal(after.statistics[split], wanted.statistics[split])
