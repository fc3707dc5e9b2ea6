"""Ablations: every trick over the same folds, what is called noise, and going on after a stop."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from catsdogs.networks import trained
from catsdogs.networks.quiet import importing_keras
from catsdogs.photographs.dataset import Dataset

with importing_keras():
    from catsdogs.finetuning import ablation
    from catsdogs.finetuning.ablation import AGAIN, BASE, TrickResult
    from catsdogs.finetuning.hyperparameters import complete_hyperparameters
    from catsdogs.finetuning.lesson import read_lesson
    from catsdogs.finetuning.objectives import Predictions
    from catsdogs.finetuning.trainer import Trainer


def test_each_trick_is_judged_on_every_photograph(
    make_dataset: Callable[..., Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = complete_hyperparameters("four-conv", input_size=32, epochs=1, batch_size=8, seed=1)
    results = ablation.ablate(read_lesson(make_dataset(cats=6, dogs=6), 2, 1), settings, ["flip"])
    assert [result.trick for result in results] == [BASE, AGAIN, "flip"]
    assert results[0].difference == 0 and all(np.isfinite(result.log_loss) for result in results)
    assert not list(trained.FOLDER.iterdir())
    ablation.write_ablation(tmp_path / "table.csv", results)
    with (tmp_path / "table.csv").open(newline="") as text:
        assert [row["trick"] for row in csv.DictReader(text)] == [BASE, AGAIN, "flip"]
    ablation.draw_ablation(tmp_path / "chart.png", results, "four-conv")
    with Image.open(tmp_path / "chart.png") as chart:
        assert chart.size[0] > 500 and len(chart.convert("RGB").getcolors(1 << 20) or []) > 10


LOSSES = {
    # log losses of eight photographs by what a cell is; the base has 0.5 everywhere
    BASE: np.full(8, 0.5),
    AGAIN: np.full(8, 0.48),
    "clearly better": np.full(8, 0.4) + np.tile([0.01, -0.01], 4),
    "within chance": np.full(8, 0.49) + np.tile([0.001, -0.001], 4),
    "within its error": 0.4 + np.tile([0.4, -0.4], 4),
    "clearly worse": np.full(8, 0.7) + np.tile([0.01, -0.01], 4),
}


def test_what_is_called_noise(
    make_dataset: Callable[..., Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def train(self: Trainer, member: str, place: str, number: int, held_out: np.ndarray) -> tuple[dict, Predictions]:
        losses = LOSSES[place.rsplit(",", 1)[0]][held_out]
        right = np.exp(-losses)
        return {}, Predictions(np.stack((right, 1 - right), axis=1), np.zeros(len(held_out), np.int64))

    monkeypatch.setattr(Trainer, "train", train)
    monkeypatch.setattr(ablation, "parse_tricks", lambda text: ())
    lesson = read_lesson(make_dataset(cats=4, dogs=4), 2, 1)
    results = ablation.ablate(
        lesson,
        complete_hyperparameters("squeezenet"),
        [name for name in LOSSES if name not in (BASE, AGAIN)],
    )
    verdicts = {result.trick: result.verdict for result in results}
    assert verdicts == {
        BASE: "noise",
        AGAIN: "noise",
        "clearly better": "better",
        "within chance": "noise",
        "within its error": "noise",
        "clearly worse": "worse",
    }


def test_the_table_has_the_base_on_top_and_then_the_best() -> None:
    def entry(trick: str, loss: float, verdict: str) -> TrickResult:
        return TrickResult(trick, loss, 0.75, loss - 0.5, 0.01, verdict)

    results = [
        entry("bad", 0.6, "worse"),
        entry(AGAIN, 0.51, "noise"),
        entry("good", 0.4, "better"),
        entry(BASE, 0.5, "noise"),
    ]
    lines = ablation.format_ablation(results).splitlines()
    assert [line[:28].strip() for line in lines] == ["trick", BASE, AGAIN, "good", "bad"]
    assert "-0.1000 ± 0.0100  better" in lines[3] and "±" not in lines[1]
