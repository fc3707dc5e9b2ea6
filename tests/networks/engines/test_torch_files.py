"""Files of tensors: those that training programs write are read, and all others refused in one line."""

import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from catsdogs.errors import WeightsError
from catsdogs.networks import pth
from catsdogs.networks.engines import torch_files
from tests.conftest import refused
from tests.support.networks import LITE, lite_file

TENSORS = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.ones(2, dtype=torch.float16)}


def same(found: dict[str, torch.Tensor]) -> bool:
    return found.keys() == TENSORS.keys() and all(found[name].equal(TENSORS[name]) for name in found)


@pytest.mark.parametrize("name", ["x.safetensors", "x.bin", "x.pth"])
def test_tensors_are_read(tmp_path: Path, name: str) -> None:
    save_file(TENSORS, tmp_path / name) if name.endswith("s") else torch.save(TENSORS, tmp_path / name)
    assert same(torch_files.read(tmp_path / name))


@pytest.mark.parametrize("key", ["state_dict", "model", "model_ema"])
def test_what_training_programs_write(tmp_path: Path, key: str) -> None:
    wrapped = {f"module.{name}": tensor for name, tensor in TENSORS.items()}
    torch.save({"epoch": 3, "optimizer": {"lr": [0.1]}, key: OrderedDict(wrapped)}, tmp_path / "x.pth")
    assert same(torch_files.read(tmp_path / "x.pth"))


def test_the_format_before_zip(tmp_path: Path) -> None:
    torch.save(TENSORS, tmp_path / "x.pth", _use_new_zipfile_serialization=False)
    assert same(torch_files.read(tmp_path / "x.pth"))
    genuine = lite_file(LITE[0])
    for name, tensor in torch_files.read(genuine).items():
        np.testing.assert_array_equal(tensor, pth.read_pth(genuine)[name])


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("ran",)


def test_nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("plain.bin").write_bytes(pickle.dumps(Hostile()))
    torch.save({"a": Hostile()}, "zip.bin")
    torch.save({"a": torch.ones(1), "b": Hostile()}, "legacy.pth", _use_new_zipfile_serialization=False)
    for name in ("plain.bin", "zip.bin", "legacy.pth"):
        with refused(WeightsError, f"{name} is no usable file of tensors"):
            torch_files.read(Path(name))
    assert not Path("ran").exists()


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("x.safetensors", struct.pack("<Q", 2**32) + b"{}", "no usable .safetensors file"),
        ("x.safetensors", struct.pack("<Q", 2**63) + b"{}", "no usable .safetensors file"),
        ("x.safetensors", b"", "no usable .safetensors file"),
        ("x.safetensors", struct.pack("<Q", 2) + b"{}", "other things than tensors"),
        ("x.bin", b"", "no usable file of tensors"),
        ("x.pth", b"<html>not found</html>", "no usable file of tensors"),
    ],
)
def test_what_is_no_such_file(tmp_path: Path, name: str, content: bytes, problem: str) -> None:
    with refused(WeightsError, problem):
        torch_files.read(write(tmp_path / name, content))


@pytest.mark.parametrize(
    "content",
    [
        [1, 2],
        {"a": 1},
        {"a": {"b": torch.ones(1)}},
        {1: torch.ones(1)},
        {},
        torch.ones(3),
        {"a": torch.ones(3).to_sparse()},
        {"a": torch.empty(3, device="meta")},
    ],
    ids=repr,
)
def test_what_is_not_a_flat_dictionary_of_tensors(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "x.bin")
    with refused(WeightsError, r"x\.bin (holds|is no usable)"):
        torch_files.read(tmp_path / "x.bin")


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(2**20)}, tmp_path / "plain.bin")
    with zipfile.ZipFile(tmp_path / "plain.bin") as plain, zipfile.ZipFile(tmp_path / "x.bin", "w") as packed:
        for entry in plain.namelist():
            packed.writestr(entry, plain.read(entry), zipfile.ZIP_DEFLATED)
    assert (tmp_path / "x.bin").stat().st_size < 2**14
    with refused(WeightsError, "it is packed"):
        torch_files.read(tmp_path / "x.bin")


@pytest.mark.parametrize("name", ["x.safetensors", "x.bin", "legacy.pth"])
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_refused_in_one_line_or_read(tmp_path: Path, name: str, data: st.DataObject) -> None:
    path = tmp_path / name
    if path.suffix == ".safetensors":
        save_file(TENSORS, path)
    else:
        torch.save(TENSORS, path, _use_new_zipfile_serialization=path.suffix == ".bin")
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans(), "cut"):
        del content[place:]
    else:
        content[place] ^= data.draw(st.integers(1, 255))
    damaged = write(tmp_path / f"damaged{path.suffix}", bytes(content))
    try:
        torch_files.read(damaged)
    except WeightsError as error:
        assert "\n" not in str(error) and str(damaged) in str(error)
