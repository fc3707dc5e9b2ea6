"""Small runs to report on, and a report's HTML taken apart."""

import html.parser
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from catsdogs import report
from catsdogs.features import feature_file
from catsdogs.features.cache import Cache, DigestedPhotograph
from catsdogs.features.feature_file import Features, Unreadable
from catsdogs.photographs import images, label_texts
from catsdogs.photographs.dataset import Dataset, Location, Photograph
from catsdogs.photographs.task import Task
from catsdogs.runs import run_card, training
from catsdogs.scoring import comparison_file, metrics, replay, training_plan
from tests.support.datasets import jpeg
from tests.support.features import recipe, rows_of

HOSTILE = ('<b>"cat"', "</script><script>alert(1)</script>", "dog's & <img src=x onerror=alert(2)>")


class ReportedRun(NamedTuple):
    """A run and all that a report of it takes."""

    folder: Path
    files: list[Features]
    dataset: Dataset
    comparison: Path

    def write(self, dataset: Dataset | None = None) -> str:
        path = report.write_report(self.folder, self.files, dataset, self.comparison)
        assert path == self.folder / "report.html"
        return path.read_text(encoding="utf-8")


def make_photographs(root: Path, classes: Sequence[str], each: int, test: int) -> Dataset:
    """Small JPEGs, named by class and number; the classes may be called anything."""
    root.mkdir(parents=True)
    named = [(f"{name}.{n}", "train", label) for label, name in enumerate(classes) for n in range(each)]
    named += [(f"<i>{n}</i>", "test", -1) for n in range(test)]
    rows = []
    for seed, (id, split, label) in enumerate(named):
        (root / f"{seed}.jpg").write_bytes(jpeg(seed))
        rows.append(Photograph(id, split, label, Location(root, f"{seed}.jpg")))
    return Dataset(root, tuple(classes), tuple(rows))


def make_features(
    folder: Path, dataset: Dataset, name: str, apart: float, labelled: bool, unreadable: Sequence[Unreadable] = ()
) -> Features:
    """A feature file in which the classes lie `apart`, but for the first photograph, which lies amid the last class."""
    table = [DigestedPhotograph(row, images.digest(dataset.read(row))) for row in dataset.photographs]
    known = rows_of(table, 8, name, labelled)
    draw = np.random.default_rng(3)
    places = draw.normal(size=(len(dataset.classes), 8)).astype(np.float32)
    labels = [-1 if row.id == f"{dataset.classes[0]}.0" else row.label for row in dataset.photographs]
    sizes = draw.integers(50, 500, (len(table), 2))
    figures = np.concatenate((sizes, np.full((len(table), 2), 100)), axis=1).astype(np.float32)
    cache = Cache(folder, recipe(name))
    cache.write_shard(replace(known, vector=known.vector + apart * places[labels], statistics=figures), "none")
    cache.assemble(table, dataset.classes, unreadable, str(dataset.root))
    return feature_file.read_features(cache.path)


def make_run(
    folder: Path,
    classes: Sequence[str] = ("cat", "dog"),
    each: int = 20,
    test: int = 30,
    apart: float = 4,
    labelled: bool = True,
    unreadable: Sequence[Unreadable] = (),
    metric: str = "",
    **plan: Any,
) -> ReportedRun:
    dataset = make_photographs(folder / "photographs", classes, each, test)
    files = [
        make_features(folder / "features", dataset, name, apart, labelled, unreadable)
        for name in ("ResNet50", "Xception")
    ]
    files = [replace(file, task=metrics.settle(file.task, metric, "")) for file in files]
    seen, truth = (replay.hold_out(files, plan["protocol"])) if "protocol" in plan else (files, {})
    training.train(
        seen,
        training_plan.Plan("ridge", folds=3, seed=0, **plan),
        name="first",
        submissions=folder / "submissions",
        command="catsdogs train --name first",
        truth=truth,
    )
    submissions = folder / "submissions"
    return ReportedRun(submissions / "first", files, dataset, submissions / comparison_file.COMPARISON_FILE)


def make_run_of_texts(
    folder: Path, task: Task, texts: Sequence[str], test: int = 30, groups: Sequence[str] = (), **plan: Any
) -> ReportedRun:
    """A run of labels, grades or numbers: a training photograph for each text, whose vectors nearly tell it.

    The first text is that of the second photograph's vectors, and the other way round.
    """
    classes = tuple(sorted(set(texts)))
    root = folder / "photographs"
    root.mkdir(parents=True)
    named = [(f"train.{n}", "train", classes.index(text)) for n, text in enumerate(texts)]
    named += [(f"<i>{n}</i>", "test", -1) for n in range(test)]
    rows = []
    for seed, (id, split, label) in enumerate(named):
        (root / f"{seed}.jpg").write_bytes(jpeg(seed))
        rows.append(Photograph(id, split, label, Location(root, f"{seed}.jpg")))
    dataset = Dataset(root, classes, tuple(rows), asked=task)
    table = [DigestedPhotograph(row, images.digest(dataset.read(row))) for row in rows]
    draw = np.random.default_rng(3)
    numbers = label_texts.table_of(task, classes)
    shown = numbers[[row.label if row.split == "train" else draw.integers(len(classes)) for row in rows]]
    shown[[0, 1]] = shown[[1, 0]]
    vectors = (shown / np.maximum(numbers.std(axis=0), 1e-9)) @ draw.normal(size=(numbers.shape[1], 12)) * 2
    vectors = vectors + draw.normal(size=vectors.shape)
    known = rows_of(table, 12, "ResNet50")
    figures = np.concatenate((draw.integers(50, 500, (len(rows), 2)), np.full((len(rows), 2), 100)), axis=1)
    cache = Cache(folder / "features", recipe("ResNet50"))
    shard = replace(known, vector=vectors.astype(np.float32), statistics=figures.astype(np.float32))
    cache.write_shard(shard, "none")
    group_of = dict(zip([id for id, *_ in named], groups, strict=False))
    cache.assemble(table, classes, (), str(root), task=task, group_of=group_of)
    files = [feature_file.read_features(cache.path)]
    told = {"name": "first", "submissions": folder / "submissions", "command": "catsdogs train --name first"}
    training.train(files, training_plan.Plan("ridge", folds=3, seed=0, **plan), **told)
    submissions = folder / "submissions"
    return ReportedRun(submissions / "first", files, dataset, submissions / comparison_file.COMPARISON_FILE)


class Elements(html.parser.HTMLParser):
    """The elements of a page and their attributes, its headings, and the text outside of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[tuple[int, str]] = []
        self._words: list[str] = []
        self._inside = ""
        self.feed(text)
        self.text = re.sub(r"\s+", " ", " ".join(self._words))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))
        self._inside = tag
        if re.fullmatch(r"h\d", tag):
            self.headings.append((int(tag[1]), ""))

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside not in ("script", "style"):
            self._words.append(data)
        if re.fullmatch(r"h\d", self._inside):
            self.headings[-1] = (self.headings[-1][0], self.headings[-1][1] + data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]

    def of_class(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for _, attributes in self.found if name in (attributes.get("class") or "").split()]


def copy_run(here: ReportedRun, to: Path) -> Path:
    """The run in a folder of its own, without a report."""
    folder = to / here.folder.name
    folder.mkdir()
    for path in here.folder.iterdir():
        if path.name != run_card.REPORT_FILE:
            (folder / path.name).write_bytes(path.read_bytes())
    return folder
