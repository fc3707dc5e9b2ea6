"""The reader of PyTorch's legacy files against small ones made here, and against pickles that ask for too much."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from catsdogs.errors import WeightsError
from catsdogs.networks import pth
from tests.conftest import refused
from tests.faults import mutation, specimens
from tests.support.networks import LITE, lite_file

HEAD = pickle.dumps(pth.MAGIC_NUMBER, 2) + pickle.dumps(pth.PROTOCOL_VERSION, 2)
HEAD += pickle.dumps({"little_endian": True}, 2)

TENSORS = st.dictionaries(
    st.text(max_size=20),
    hnp.arrays(
        np.float32, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4), elements=st.floats(width=32)
    ),
    max_size=5,
)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TENSORS, st.booleans())
def test_what_was_written_is_read(tmp_path: Path, tensors: dict[str, np.ndarray], transposed: bool) -> None:
    path = tmp_path / "x.pth"
    written = {name: values.T if transposed else values for name, values in tensors.items()}
    path.write_bytes(specimens.legacy_pth(written))
    found = pth.read_pth(path)
    assert list(found) == list(written)
    for name, values in written.items():
        np.testing.assert_array_equal(found[name], values)


def _tuples_of_the_same_tuples() -> bytes:
    """Forty, each of two references to the one before: two to the power of forty to hash."""
    pairs = b"".join(b"h%ch%c\x86q%c" % (number, number, number + 1) for number in range(40))
    return b"\x80\x02})q\x00" + pairs + b"Ns."


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x80\x02}r\xff\xff\xff\x7f.", "exhausted"),  # an unpickler's memo of 32 GB
        (_tuples_of_the_same_tuples(), "refers to something again"),
        (b"\x80\x02})" + b"\x85" * 200_000 + b"Ns.", "exhausted"),  # nests too deeply for an unpickler
        (b"\x80\x02" + b"N0" * pth._MAX_OPCODES + b".", "none of PyTorch's: POP"),
        (b"\x80\x02" + b"N" * pth._MAX_OPCODES + b".", "too long"),
        (b"\x80\x02cbuiltins\neval\n(X\x01\0\0\0atR.", r"asks for builtins\.eval"),
        (b"\x80\x02ccollections\nOrderedDict\n\x81.", "none of PyTorch's: NEWOBJ"),
        (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(N}X\x01\0\0\0aK\x01stb.", "exhausted"),
    ],
)
def test_pickles_that_ask_for_too_much_are_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(HEAD + content)
    with refused(WeightsError, reason):
        pth.read_pth(path)


def _with_view(sizes: list[int], strides: list[int]) -> bytes:
    """A file whose only tensor is this view of four numbers."""

    def row(numbers: list[int]) -> bytes:
        return b"(" + b"".join(map(specimens._int, numbers)) + b"t"

    whole = specimens.legacy_pth({"a": np.zeros(4, np.float32)})
    return whole.replace(row([4]) + row([1]), row(sizes) + row(strides))


@pytest.mark.parametrize(
    ("sizes", "strides", "reason"),
    [
        ([2**30], [0], "hold more than the file"),  # a thousand million numbers, all the same one
        ([2**15, 2**15], [0, 0], "hold more than the file"),
        ([5], [1], "reaches outside its storage"),
        ([2, 2], [3, 1], "reaches outside its storage"),
        ([2], [-1], "a negative offset, size or stride"),
        ([-4], [1], "a negative offset, size or stride"),
        ([1] * 40, [1] * 40, "a tensor of 40 dimensions"),
        ([2, 2], [1], "a tensor of 1 dimensions and 2 strides"),
    ],
)
def test_views_of_more_than_there_is_are_refused(
    tmp_path: Path, sizes: list[int], strides: list[int], reason: str
) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(_with_view(sizes, strides))
    with refused(WeightsError, reason):
        pth.read_pth(path)


def test_a_reason_that_the_file_wrote_is_shortened(tmp_path: Path) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(HEAD + b"\x80\x02c" + b"a\r" * 100_000 + b"\nb\n.")
    with pytest.raises(WeightsError, match="asks for") as caught:
        pth.read_pth(path)
    assert len(str(caught.value)) < 500 + len(str(path))


@pytest.mark.parametrize("seed", range(3))
def test_spoilt_files_are_refused_or_read(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "x.pth"
    for _, _, data in mutation.spoilt(list(specimens.pths().values()), 50, seed):
        path.write_bytes(data)
        try:
            assert all(isinstance(values, np.ndarray) for values in pth.read_pth(path).values())
        except WeightsError as error:
            assert "\n" not in str(error)


class TestPth:
    def test_hostile_pickle_is_refused_and_not_run(self, tmp_path: Path) -> None:
        witness = tmp_path / "witness"

        class Hostile:
            def __reduce__(self) -> tuple:
                return os.mkdir, (str(witness),)

        path = tmp_path / "x.pth"
        path.write_bytes(pickle.dumps(Hostile(), protocol=2))
        with pytest.raises(WeightsError, match=r"asks for posix\.mkdir"):
            pth.read_pth(path)
        assert not witness.exists()

    @pytest.mark.parametrize("call", [("builtins", "eval"), ("torch", "load"), ("collections", "deque")])
    def test_only_tensors_are_admitted(self, tmp_path: Path, call: tuple[str, str]) -> None:
        path = tmp_path / "x.pth"
        path.write_bytes(b"\x80\x02c" + "\n".join(call).encode() + b"\n.")
        with pytest.raises(WeightsError, match="asks for"):
            pth.read_pth(path)

    @pytest.mark.parametrize("keep", [0, 10, 1000, 60_000, -1000])
    def test_cut_short(self, tmp_path: Path, keep: int) -> None:
        path = tmp_path / "x.pth"
        path.write_bytes(lite_file(LITE[0]).read_bytes()[:keep])
        with pytest.raises(WeightsError, match=r"not a usable \.pth file"):
            pth.read_pth(path)

    def test_strides_are_honoured(self) -> None:
        storage = np.arange(6, dtype=np.float32)
        assert pth._strided(storage, pth._Tensor("k", 0, (3, 2), (1, 3))).tolist() == [[0, 3], [1, 4], [2, 5]]
        with pytest.raises(pickle.UnpicklingError):
            pth._strided(storage, pth._Tensor("k", 1, (3, 2), (2, 1)))
