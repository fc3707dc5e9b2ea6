"""The benchmark of a run with nothing to do, on few rows."""

from pathlib import Path

import pytest

from benchmarks import noop
from catsdogs.errors import DatasetError
from catsdogs.features import feature_file
from catsdogs.networks.table import BACKBONES
from catsdogs.photographs import stamps
from tests.conftest import need, refused


def test_it_measures_a_run_that_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need(str(BACKBONES[noop.NETWORKS[0]].package))
    monkeypatch.setattr(stamps, "SETTLED_NS", stamps.SETTLED_NS)  # which the benchmark changes
    noop.write(tmp_path, 300)
    out = tmp_path / "features"
    assert [len(feature_file.read_features(out / f"{name}.h5").labels) for name in noop.NETWORKS] == [285] * 3
    found = noop.run(str(out), 300)
    assert found["read"] > 300 * 16 * 3 and found["seconds"] > 0
    text = noop.render({"here": found, "without": found, "store": None, "constant": {"read": 0}}, 300)
    assert "| on this machine |" in text and "S3" not in text.split("\n\n")[-1]
    (out / f"{noop.NETWORKS[1]}.h5").unlink()
    (out / f".{noop.NETWORKS[1]}.index").unlink()
    with refused(DatasetError, "None of the 300 photographs"):  # it would have to read them, and there are none
        noop.run(str(out), 300)
