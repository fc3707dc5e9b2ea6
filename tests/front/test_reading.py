"""A task from Python: that of each kind of competition, as the command reads it."""

from pathlib import Path

import pytest

import catsdogs as cd
from catsdogs.demo.competitions import draw_competition
from catsdogs.errors import DatasetError, UnknownNameError, UsageError
from tests.conftest import refused


@pytest.mark.parametrize("kind", ["binary", "classes", "labels", "grades", "number"])
def test_the_task_is_what_the_competition_asks_for(tmp_path: Path, kind: str) -> None:
    drawn = draw_competition(kind, tmp_path / "drawn")
    task = cd.look(drawn.data, **drawn.flags, metric=drawn.metric)  # type: ignore[arg-type]
    expected = {"grades": "ordinal"}.get(kind, kind)
    assert (task.kind, task.metric, task.has_sample) == (expected, drawn.metric, True)


def test_classes_and_a_share_held_out(inside: Path) -> None:
    features = cd.extract("pets", "EfficientNetLite0", features="held", holdout=0.25)
    assert features.rows == {"train": 12, "test": 4}
    assert set(features.ids_test) <= {f"{kind}.{number}" for kind in ("cat", "dog") for number in range(8)}
    with refused(UsageError, "`holdout` 2 is no share"):
        cd.look("pets", holdout=2)
    with refused(UnknownNameError, "No argument is called 'label'. Choose from: classes, competition"):
        cd.look("pets", label="breed")  # type: ignore[call-arg]
    with refused(DatasetError, "gone"):
        cd.look(Path("gone"))
