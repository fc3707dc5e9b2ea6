"""Every flag of every command does something: a value that cannot be is refused, or what it changes is seen.

A flag that is new and not in `flag_table.py` makes a test fail.
"""

import errno
import importlib
import json
import logging
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from catsdogs import cli
from catsdogs.errors import TrainingError
from catsdogs.features import feature_file
from catsdogs.networks import trained
from catsdogs.networks.quiet import importing_keras
from catsdogs.runs import run_card
from tests.commands.flag_table import BASES, FILE, FLAGS, NETWORK, ON, TUNED, Elsewhere, Instead, Refused
from tests.conftest import Command
from tests.support.datasets import write_kaggle_folder
from tests.support.features import table, write_features
from tests.support.networks import CARD


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Photographs, vectors that no network made, a run of each kind, and the card of a trained network."""
    folder = tmp_path_factory.mktemp("flags")
    write_kaggle_folder(folder / "data", cats=6, dogs=6, test=2)
    (folder / "data/truth.csv").write_text("id,label\n1,0\n2,1\n")
    (folder / "empty").mkdir()
    entries = table([str(row) for row in range(12)], ["1", "2"])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_features(Path("features"), entries, NETWORK, classes=("a", "b"))
        with h5py.File("features/gap_Old.h5", "w") as old:
            old["train"], old["label"], old["test"] = np.eye(12), np.repeat([0, 1], 6), np.zeros((2, 12))
        for name, head in (("ridged", "ridge"), ("twins", "twin")):
            patch.setattr(sys, "argv", ["catsdogs", "train", "--head", head, "--name", name, "--folds", "2", *ON])
            cli.main()
        trained.write_card(trained.FOLDER / "mine", trained_card())
        yield folder


def trained_card() -> trained.Card:
    return type(CARD)(**vars(CARD) | {"weights": {trained.ALL: "00"}, "source": "data"})


@pytest.fixture
def inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(project)
    return project


def everything() -> list[tuple[str, str]]:
    return [(command, flag) for command, shown in FLAGS.items() for flag in shown]


def test_every_flag_of_every_command_is_in_the_table() -> None:
    there = {context.name: set(context.flags) for context in cli.collection.to_contexts()}
    assert {name: set(shown) for name, shown in FLAGS.items()} == there


@pytest.mark.parametrize(("name", "flag"), everything())
def test_every_flag_has_an_effect_or_is_refused(
    inside: Path, command: Command, monkeypatch: pytest.MonkeyPatch, name: str, flag: str
) -> None:
    shown = FLAGS[name][flag]
    if isinstance(shown, Elsewhere):
        file, test = shown.test.split("::")
        text = (Path(__file__).with_name(file)).read_text()
        assert f"def {test}(" in text and f'"{flag}"' in text
        return
    base = arguments(BASES.get(name, ()), shown.base, flag)
    before = set(inside.rglob("*"))
    if isinstance(shown, Refused):
        given = (flag,) if shown.bare else (flag, shown.value)
        code, _, err = command(name, *base, *given)
        assert code in (1, 2), err
        (line,) = (line for line in err.splitlines() if line.startswith("catsdogs "))
        assert re.search(re.escape(shown.match), line), line
        # A flag's mistake is found before anything is computed or written.
        assert {path for path in set(inside.rglob("*")) - before if path.suffix in (".csv", ".json", ".png")} == set()
    elif isinstance(shown, Instead):
        assert re.search(shown.without, command(name, *base)[2])
        assert not re.search(shown.without, command(name, *base, flag)[2])
    else:
        module, function = shown.function.rsplit(".", 1)
        monkeypatch.setattr(importlib.import_module(module), function, handed())
        assert shown.value in command(name, *base, flag, shown.value)[2]


def arguments(usual: Sequence[str], own: Sequence[str], flag: str) -> list[str]:
    """Flags with values: the usual ones, in their place those of the entry, and never the flag in question."""
    pairs = dict(zip(usual[::2], usual[1::2], strict=True)) | dict(zip(own[::2], own[1::2], strict=True))
    return [part for name, value in pairs.items() if name != flag for part in (name, value)]


def handed() -> Callable[..., None]:
    def stand_in(*arguments: object) -> None:
        raise TrainingError(f"handed {[str(argument) for argument in arguments]}", "Nothing")

    return stand_in


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (
            ("finetune", "--data", "data", "--backbone", "siamese-cnn", "--tricks", "mixup"),
            "learns from pairs, so mixup would",
        ),
        (("finetune", *TUNED, "--tricks", "lr-scaling"), "lr-scaling would do nothing"),
        (("finetune", *TUNED, "--unfreeze", "last-block"), "Leave --unfreeze out"),
        (("distill", "--teacher", "ridged", "--student", "four-conv", "--weights-dir", "w"), "starts from random"),
        (("train", "--repeat", "ridged", "--head", "ridge"), "--repeat takes everything"),
        (("train", "--repeat", "replayed", "--data", "data"), "--data data would do nothing"),
        (("features", *ON, "--data", "data", "--engine", "openvino", "--devices", "all"), "whatever --devices says"),
        (("compare", *ON, "--data", "nowhere"), "--data nowhere would do nothing"),
        (("fewshot", *ON, "--new", "c,d", "--data", "nowhere"), "--data nowhere would do nothing"),
    ],
)
def test_a_flag_that_does_nothing_beside_another_is_refused(
    inside: Path, command: Command, arguments: tuple[str, ...], match: str
) -> None:
    if "replayed" in arguments and not (inside / "submissions/replayed").exists():
        code, _, err = command("replay", *ON, "--head", "ridge", "--folds", "2", "--name", "replayed")
        assert code == 0, err
    code, _, err = command(*arguments)
    assert code == 2 and match in err, err
    assert json.loads((inside / "submissions/ridged" / run_card.RUN_FILE).read_text())["name"] == "ridged"


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("finetune", "--backbone", "four-conv", "--data", "nowhere", "--name", "mine"), "networks/mine already"),
        (("distill", "--teacher", "gone", "--name", "mine"), "networks/mine already"),
        (("train", "--features", "nowhere", "--name", "ridged"), "submissions/ridged already"),
        (("train", "--repeat", "gone", "--name", "ridged"), "submissions/ridged already"),
        (("replay", "--features", "nowhere", "--name", "ridged"), "submissions/ridged already"),
        (("features", "--data", "nowhere", *ON, "--out", f"{FILE}/x"), "cannot be written"),
        (("predict", "--name", "ridged", "--data", "nowhere", "--out", f"{FILE}/x"), "cannot be written"),
        (("finetune", "--backbone", "four-conv", "--data", "nowhere", "--tricks", "distillation"), "catsdogs distill"),
        (("ablate", "--data", "nowhere", "--tricks", "Knowledge-Distillation"), "catsdogs distill"),
    ],
)
def test_names_and_targets_are_refused_before_anything_is_read(
    inside: Path, command: Command, arguments: tuple[str, ...], match: str
) -> None:
    code, out, err = command(*arguments)
    (line,) = (line for line in err.splitlines() if line.startswith("catsdogs "))
    assert code in (1, 2) and out == "" and match in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("finetune",), "finetune needs --backbone."),
        (("predict", "--name", "ridged"), "predict needs --data."),
        (("verify", "--name", "twins"), "verify needs --left and --right."),
        (("train", "--name"), "--name needs a value."),
        (("features", "--weights-dir"), "--weights-dir needs a value."),
        (("finetune", "--backbone", "four-conv", "--backbone", "squeezenet"), "--backbone is given twice"),
        (("train", "--head", "ridge", "--seed=1", "--head", "stack"), "--head is given twice: give it once."),
        (("trian", "--head", "ridge"), "No idea what 'trian' is!"),
        (("predict", "--name", "ridged", "--data", "data", "--out", "data"), "--out data is a folder"),
    ],
)
def test_wrong_usage_is_said_in_the_words_of_who_typed_it(
    inside: Path, command: Command, arguments: tuple[str, ...], message: str
) -> None:
    code, out, err = command(*arguments)
    assert (code, out, len(err.strip().splitlines())) == (2, "", 1) and message in err


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "--head", "ridge", "--name", "new", *ON),
        ("replay", "--head", "ridge", "--name", "new", *ON),
        ("compare", "--heads", "ridge", *ON),
        ("fewshot", "--new", "c,d", *ON),
        ("outliers", *ON),
        ("finetune", *TUNED, "--name", "new"),
        ("ablate", "--data", "data"),
        ("features", "--data", "data", *ON),
    ],
)
def test_a_folder_that_cannot_be_written_is_said_before_the_work(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command, arguments: tuple[str, ...]
) -> None:
    """All that is written goes below files, where no folder can be."""
    shutil.copytree(project / "features", tmp_path / "features")
    shutil.copytree(project / "data", tmp_path / "data")
    for name in ("submissions", "networks"):
        (tmp_path / name).write_text("a file")
    monkeypatch.chdir(tmp_path)
    if arguments[0] in ("outliers", "features"):
        monkeypatch.setattr(tempfile, "TemporaryFile", refuse_to_write)
    monkeypatch.setattr("catsdogs.progress.Progress.__init__", lambda *_, **__: pytest.fail("work was begun"))
    code, out, err = command(*arguments)
    assert (code, out, "cannot be written" in err) == (1, "", True), err


def refuse_to_write(**_: object) -> None:
    raise PermissionError(errno.EACCES, "Permission denied")


def test_advice_on_retracing_reaches_nobody_and_other_warnings_do(caplog: pytest.LogCaptureFixture) -> None:
    with importing_keras():
        pass
    logger = logging.getLogger("tensorflow")
    logger.warning("5 out of the last %d calls to %s triggered tf.function retracing.", 5, "one_step")
    logger.warning("the card is missing")
    assert [record.getMessage() for record in caplog.records] == ["the card is missing"]


def test_a_file_of_several_sets_is_read_once(tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    entries = table([str(row) for row in range(12)], ["1", "2"])
    for network in (NETWORK, "Xception"):
        write_features(Path("features"), entries, network, classes=("a", "b"))
    read: list[str] = []
    original = feature_file.read_features

    def noted(path: Path, *more: Any) -> feature_file.Features:
        read.append(path.stem)
        return original(path, *more)

    monkeypatch.setattr(feature_file, "read_features", noted)
    sets = ("--backbones", NETWORK, "--backbones", f"Xception, {NETWORK}")
    code, out, err = command("compare", *sets, "--heads", "ridge,", "--folds", "2")
    assert (code, read) == (0, [NETWORK, "Xception"]), err
    assert f"--backbones Xception,{NETWORK} --head ridge" in out
