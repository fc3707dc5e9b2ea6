"""HDF5 files that no seal vouches for: sound ones pass, and whatever the others do, they do it elsewhere."""

import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from catsdogs.errors import DamagedError
from catsdogs.files import trial
from tests.conftest import refused
from tests.faults import specimens


def gap_file(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file["train"] = np.ones((40, 6), np.float32)
        file["names"] = ["cat.0"] * 40
        file["label"] = np.zeros(40, np.int64)
        file["label"].attrs["classes"] = ["cat", "dog"]
    return path


@pytest.mark.parametrize("name", ["ResNet50.h5", "gap_Xception.h5"])
def test_sound_files_pass_and_are_tried_once(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / name
    path.write_bytes(specimens.unsealed_files()[name])
    trial.try_out(path)
    monkeypatch.setattr(sys, "executable", "/nowhere")
    trial.try_out(path)


def _elsewhere(file: h5py.File, path: Path) -> None:
    file["train"] = h5py.ExternalLink("other.h5", "train")


def _soft(file: h5py.File, path: Path) -> None:
    file["train"] = h5py.SoftLink("/train")


def _outside(file: h5py.File, path: Path) -> None:
    file.create_dataset("train", (4,), np.uint8, external=[(str(path.with_name("secret")), 0, 4)])


def _virtual(file: h5py.File, path: Path) -> None:
    layout = h5py.VirtualLayout((4,), np.uint8)
    layout[:] = h5py.VirtualSource("other.h5", "train", (4,))
    file.create_virtual_dataset("train", layout)


def _ring(file: h5py.File, path: Path) -> None:
    file["a/b"] = file.create_group("a")


def _wide(file: h5py.File, path: Path) -> None:
    file.create_dataset("train", (4, 2**40), np.uint8, chunks=(1, 2**10))


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (_elsewhere, "train is a link"),
        (_soft, "train is a link"),
        (_outside, "train lies in another file"),
        (_virtual, "train lies in another file"),
        (_ring, "b is in a ring"),
        (_wide, "rows of 1,099,511,627,776 bytes"),
    ],
)
def test_files_that_reach_out_or_claim_too_much(
    tmp_path: Path, write: Callable[[h5py.File, Path], None], reason: str
) -> None:
    (tmp_path / "secret").write_bytes(b"1234")
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        write(file, path)
    with refused(DamagedError, reason):
        trial.try_out(path)


@pytest.mark.parametrize("keep", [0, 100, 2000])
def test_what_hdf5_cannot_read_is_refused_in_its_words(tmp_path: Path, keep: int) -> None:
    path = gap_file(tmp_path / "x.h5")
    path.write_bytes(path.read_bytes()[:keep])
    with refused(DamagedError, "damaged: OSError: Unable to"):
        trial.try_out(path)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems limit neither time nor memory as Linux does")
@pytest.mark.parametrize(
    "does",
    ["import os; os.kill(os.getpid(), 11)", "while True: pass", "bytes(2**40)", "[b'x' * 2**20 for _ in range(4096)]"],
)
def test_a_crash_a_loop_and_a_bomb_end_that_process_alone(
    tmp_path: Path, does: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Instead of a file over which the HDF5 of today does so, which the next one may mend."""
    path = gap_file(tmp_path / "x.h5")
    monkeypatch.setattr(trial, "_TRY", trial._TRY.replace("    dict(group.attrs)\n", f"    {does}\n", 1))
    monkeypatch.setattr(trial, "SECONDS", 0.1)
    with refused(DamagedError, "x.h5 is cut short or damaged: (HDF5 .*does not come to an end|MemoryError)"):
        trial.try_out(path)


def test_a_file_that_changed_is_tried_again(tmp_path: Path) -> None:
    path = gap_file(tmp_path / "x.h5")
    trial.try_out(path)
    path.write_bytes(path.read_bytes()[:-100])
    with refused(DamagedError, "truncated|Unable"):
        trial.try_out(path)
