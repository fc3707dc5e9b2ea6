"""Objects read by ranges: like files, and shared by threads."""

import io
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catsdogs.files import ranges, storage
from tests.support.s3 import Faults

pytest_plugins = ("tests.support.s3",)


class TestRanges:
    @given(
        data=st.binary(max_size=200),
        moves=st.lists(st.tuples(st.integers(0, 250), st.integers(-1, 250), st.integers(0, 2)), max_size=12),
        block=st.integers(1, 60),
    )
    def test_like_a_file(self, data: bytes, moves: list[tuple[int, int, int]], block: int) -> None:
        requests = []

        def read(path: Path, start: int, length: int) -> bytes:
            requests.append((start, length))
            assert 0 <= start < len(data) and 0 < length <= len(data) - start
            return data[start : start + length]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(storage, "size", lambda path: len(data))
            patch.setattr(storage, "read_bytes", read)
            patch.setattr(ranges, "READ_AHEAD_BYTES", block)
            ours, file = ranges.Ranges(Path("x")), io.BytesIO(data)
            for offset, size, whence in moves:
                if whence == io.SEEK_CUR:
                    offset -= file.tell()
                elif whence == io.SEEK_END:
                    offset -= len(data)
                assert ours.seek(offset, whence) == file.seek(offset, whence)
                assert ours.read(size) == file.read(size) and ours.tell() == file.tell()

    def test_threads_do_not_share_what_they_have_read(self, s3_folder: Path, s3_faults: Faults) -> None:
        (s3_folder / "x").write_bytes(bytes(range(200)))
        file = storage.open_by_ranges(s3_folder / "x")
        assert isinstance(file, ranges.Ranges)
        s3_faults.requests.clear()
        lock = threading.Lock()
        found = {}

        def read(at: int) -> None:
            file.fetch(at, 10)
            with lock:
                file.seek(at)
                found[at] = file.read(10)

        threads = [threading.Thread(target=read, args=(at,)) for at in range(0, 200, 20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == {at: bytes(range(at, at + 10)) for at in range(0, 200, 20)}
        assert len(s3_faults.requests) == 10
