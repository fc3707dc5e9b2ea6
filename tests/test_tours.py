"""Two checkouts' tours held against each other: what must differ is not seen, and anything else is."""

import json
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from benchmarks.tours import COMMANDS, TOUR
from benchmarks.tours_compare import differences, plain
from catsdogs import cli

AT_ONE_TIME = "2026-11-27T04:43:04+00:00"
AT_ANOTHER = "2026-11-28T05:44:05.678+00:00"


def write(folder: Path, when: str = AT_ONE_TIME, number: int = 1) -> Path:
    """A file of each kind that is read, with a time and a number in each."""
    folder.mkdir()
    (folder / "output.txt").write_text(
        f"photos: 50%|█ | 1/2 [00:0{len(when) % 9}<00:01, {when[5:7]}photo/s]\n{number}\n"
    )
    (folder / "run.json").write_text(json.dumps({"created": when, "scores": [number, float("nan")]}))
    (folder / "table.csv").write_text(f"id,seconds\n{number},{when}\n")
    (folder / "page.html").write_text(f"<p>{when}: {number}</p>")
    Image.new("RGB", (4, 4), (number, 0, 0)).save(folder / "chart.png", pnginfo=None, compress_level=len(when) % 9)
    with h5py.File(folder / "features.h5", "w") as file:
        file.attrs["created"], file["ids"], file["train"] = when, ["a", "b"], np.full((2, 3), number, np.float32)
    schema = {"__id__": len(when), "content": [{"__id__": 2, "file": f"{len(when)}.npy"}]}
    with zipfile.ZipFile(folder / "heads.skops", "w") as heads:
        heads.writestr("schema.json", json.dumps(schema))
        heads.writestr(f"{len(when)}.npy", bytes([number]))
    return folder


def test_times_and_numbers_of_objects_may_differ(tmp_path: Path) -> None:
    one, other = write(tmp_path / "one"), write(tmp_path / "other", AT_ANOTHER)
    assert {path.name for path in one.iterdir() if path.read_bytes() != (other / path.name).read_bytes()} >= {
        "output.txt",
        "run.json",
        "table.csv",
        "page.html",
        "features.h5",
        "heads.skops",
    }
    assert list(differences(one, other)) == []


def test_anything_else_is_seen(tmp_path: Path) -> None:
    one, other = write(tmp_path / "one"), write(tmp_path / "other", AT_ANOTHER, number=2)
    (other / "new.csv").touch()
    found = list(differences(one, other))
    assert "new.csv is written after only" in found
    assert {sentence.split()[0].rstrip(":") for sentence in found} == {path.name for path in other.iterdir()}


@pytest.mark.parametrize(
    "text",
    ["stack:  50%|██ | 1/2 [00:01<00:01]\nstack: 100%|████| 2/2 [00:09<00:00]\n", "stack: 100%|█| 2/2 [00:01<, lo"],
)
def test_of_a_bar_its_end_counts(text: str) -> None:
    assert plain(text) == "stack: 2/2"


def test_a_tour_has_every_command() -> None:
    typed = {step.split()[0] for step in TOUR if isinstance(step, str)}
    assert set(COMMANDS) <= typed and set(COMMANDS) <= set(cli.collection.task_names)
