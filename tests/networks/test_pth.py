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
        (b"\x80\x02}r\xff\xff\xff\x7f.", "numbers something 2147483647"),  # a memo of 32 GB
        (_tuples_of_the_same_tuples(), "refers to something again"),
        (b"\x80\x02})" + b"\x85" * 200_000 + b"Ns.", "nests too deeply"),
        (b"\x80\x02" + b"N0" * pth._MAX_OPCODES + b".", "none of PyTorch's: POP"),
        (b"\x80\x02" + b"N" * pth._MAX_OPCODES + b".", "too long"),
        (b"\x80\x02cbuiltins\neval\n(X\x01\0\0\0atR.", r"asks for builtins\.eval"),
        (b"\x80\x02ccollections\nOrderedDict\n\x81.", "none of PyTorch's: NEWOBJ"),
        (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(N}X\x01\0\0\0aK\x01stb.", "AttributeError"),
        (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(X\x01\0\0\0aK\0(" + b"K\2" * 40 + b"t)tR.", "40 dimensions"),
    ],
)
def test_pickles_that_ask_for_too_much_are_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "x.pth"
    path.write_bytes(HEAD + content)
    with refused(WeightsError, reason):
        pth.read_pth(path)


def test_a_number_that_stands_for_a_thousand_million_is_refused(tmp_path: Path) -> None:
    """Those of a tensor whose stride is 0 are all the same one."""

    def row(size: int, stride: int) -> bytes:
        return b"(" + specimens._int(size) + b"t(" + specimens._int(stride) + b"t"

    path = tmp_path / "x.pth"
    path.write_bytes(specimens.legacy_pth({"a": np.zeros(4, np.float32)}).replace(row(4, 1), row(2**30, 0)))
    with refused(WeightsError, "hold more than the file"):
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

    def test_strides_are_honoured_and_bounded(self) -> None:
        storage = np.arange(6, dtype=np.float32)
        assert pth._strided(storage, pth._Tensor("k", 0, (3, 2), (1, 3))).tolist() == [[0, 3], [1, 4], [2, 5]]
        for offset, size, strides in ((0, (7,), (1,)), (1, (3, 2), (2, 1)), (5, (2,), (-1,))):
            with pytest.raises(pickle.UnpicklingError):
                pth._strided(storage, pth._Tensor("k", offset, size, strides))
