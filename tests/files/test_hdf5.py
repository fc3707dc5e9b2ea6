"""HDF5 files are whole or not there, on a full disk and in folders that cannot be written."""

from pathlib import Path

import numpy as np
import pytest

from catsdogs.errors import StoreError
from catsdogs.files import atomic, hdf5, locks
from tests.conftest import refused
from tests.support.features import table, write_features
from tests.support.processes import child

TRAIN, TEST = [f"cat.{n}" for n in range(7)], [str(n) for n in range(1, 5)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_features(tmp_path / "features", table(TRAIN, TEST)).path


class TestWriting:
    def test_earlier_file_stays_when_writing_fails(self, file: Path) -> None:
        before = file.read_bytes()
        with pytest.raises(KeyboardInterrupt), hdf5.writing(file) as h5:
            h5["train"] = np.zeros(3)
            raise KeyboardInterrupt
        assert file.read_bytes() == before
        assert [path.name for path in file.parent.glob("*.h5*")] == ["ResNet50.h5"]

    # Whichever write fails (the superblock, a chunk, the strings, the last flush), HDF5 must not crash the process.
    def test_full_disk(self, file: Path) -> None:
        before, others = file.read_bytes(), sorted(file.parent.rglob("*"))
        code = """
            import os, resource, sys
            from pathlib import Path
            import h5py, numpy as np
            from catsdogs.files import hdf5
            from catsdogs.errors import StoreError

            path, limit = Path(sys.argv[1]), int(sys.argv[2])
            while True:
                limit = limit * 3 // 2
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
                try:
                    with hdf5.writing(path) as file:
                        for part in "ab":
                            rows = file.create_dataset(f"rows_{part}", (1000, 64), chunks=(64, 64))
                            for start in range(0, 1000, 64):
                                rows[start : start + 64] = 1
                            file.create_dataset(f"id_{part}", data=["x" * 20] * 1000, dtype=h5py.string_dtype())
                            file[f"label_{part}"] = np.ones(30_000)
                        if limit > 2**21:
                            break
                except StoreError as error:
                    print(error)
        """
        target = file.with_name("Xception.h5")
        process = child(code, target, 10)
        lines = process.communicate(timeout=60)[0].splitlines()
        assert process.returncode == 0 and target.exists()
        assert len(lines) > 20
        assert set(lines) == {
            f"The disk is full: {target} was not written. Free some space and run the same command again."
        }
        target.unlink()
        assert file.read_bytes() == before and sorted(file.parent.rglob("*")) == others

    def test_too_little_space(self, tmp_path: Path) -> None:
        atomic.check_free_space(tmp_path, 1)
        with refused(StoreError, r"needs about [\d,]+ MiB and has [\d,]+ MiB free"):
            atomic.check_free_space(tmp_path, 2**60)

    def test_read_only_folder(self, tmp_path: Path) -> None:
        folder = tmp_path / "features"
        folder.mkdir(mode=0o555)
        # Root may write anywhere, so there the child becomes nobody once it stands in the folder.
        code = """
            import os
            from pathlib import Path
            import filelock  # the library may lie where nobody may not read it
            from catsdogs.files import hdf5, locks
            from catsdogs.errors import StoreError

            if os.getuid() == 0:
                os.setuid(65534)
            for path in ("", "deeper/still"):
                try:
                    with locks.hold_folder(Path(path)):
                        print("locked")
                except StoreError as error:
                    print(error)
            try:
                with hdf5.writing(Path("x.h5")):
                    print("written")
            except StoreError as error:
                print(error)
        """
        process = child(code, cwd=folder)
        out, err = process.communicate(timeout=60)
        assert not err and len(out.splitlines()) == 3
        for line in out.splitlines():
            assert "cannot be written" in line and line.endswith("Check the folder and its permissions.")
        assert not list(folder.iterdir())

    def test_a_file_in_the_place_of_the_folder(self, file: Path) -> None:
        with refused(StoreError, "cannot be written"), locks.hold_folder(file / "features" / "deeper"):
            pass
