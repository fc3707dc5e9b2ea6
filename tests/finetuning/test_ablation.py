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
    from catsdogs.finetuning import ablation, plans
    from catsdogs.finetuning.ablation import AGAIN, BASE, TrickResult
    from catsdogs.finetuning.finetune import Trainer, lesson
    from catsdogs.finetuning.objectives import Answers


def test_each_trick_is_judged_on_every_photograph(
    make_dataset: Callable[..., Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plan = plans.hyperparameters("four-conv", input_size=32, epochs=1, batch_size=8, seed=1)
    entries = ablation.ablate(lesson(make_dataset(cats=6, dogs=6), 2, 1), plan, ["flip"])
    assert [entry.trick for entry in entries] == [BASE, AGAIN, "flip"]
    assert entries[0].difference == 0 and all(np.isfinite(entry.log_loss) for entry in entries)
    assert not list(trained.FOLDER.iterdir())
    ablation.write_ablation(tmp_path / "table.csv", entries)
    with (tmp_path / "table.csv").open(newline="") as text:
        assert [row["trick"] for row in csv.DictReader(text)] == [BASE, AGAIN, "flip"]
    ablation.draw_ablation(tmp_path / "chart.png", entries, "four-conv")
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

    def train(self: Trainer, member: str, which: str, number: int, held: np.ndarray) -> tuple[dict, Answers]:
        losses = LOSSES[which.rsplit(",", 1)[0]][held]
        right = np.exp(-losses)
        return {}, Answers(np.stack((right, 1 - right), axis=1), np.zeros(len(held), np.int64))

    monkeypatch.setattr(Trainer, "train", train)
    monkeypatch.setattr(ablation, "parse", lambda text: ())
    taught = lesson(make_dataset(cats=4, dogs=4), 2, 1)
    entries = ablation.ablate(
        taught, plans.hyperparameters("squeezenet"), [name for name in LOSSES if name not in (BASE, AGAIN)]
    )
    verdicts = {entry.trick: entry.verdict for entry in entries}
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

    entries = [
        entry("bad", 0.6, "worse"),
        entry(AGAIN, 0.51, "noise"),
        entry("good", 0.4, "better"),
        entry(BASE, 0.5, "noise"),
    ]
    lines = ablation.format_table(entries).splitlines()
    assert [line[:28].strip() for line in lines] == ["trick", BASE, AGAIN, "good", "bad"]
    assert "-0.1000 ± 0.0100  better" in lines[3] and "±" not in lines[1]
