"""Every flag of every command does something: a value that cannot be is refused, or what it changes is seen.

A flag that is new and not in the table makes a test fail.
"""

import errno
import importlib
import json
import logging
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest

from catsdogs import chores, cli
from catsdogs.commands import flags as flags_module
from catsdogs.errors import TrainingError
from catsdogs.networks import trained
from catsdogs.networks.quiet import importing_keras
from catsdogs.runs import run_card
from tests.conftest import Command, table, write_features, write_kaggle_folder
from tests.support.networks import CARD

NETWORK = "EfficientNetLite0"
ON = ("--backbones", NETWORK)
TUNED = ("--backbone", "four-conv", "--data", "data")
TAUGHT = ("--teacher", "ridged", "--name", "pocket")
FILE = "data/train/cat.0.jpg"  # nothing can be written below it


@dataclass(frozen=True)
class Refused:
    """A value that cannot be used ends the command with one line that matches."""

    value: str
    match: str
    base: tuple[str, ...] = ()
    bare: bool = False  # a flag without a value


@dataclass(frozen=True)
class Instead:
    """With the flag, another refusal than `without` it, or none."""

    without: str
    base: tuple[str, ...]
    value: str = ""


@dataclass(frozen=True)
class Handed:
    """The value reaches the function that does the work, which is stood in for."""

    value: str
    function: str
    base: tuple[str, ...]


@dataclass(frozen=True)
class Elsewhere:
    """A test of another module shows what it does."""

    test: str


Shown = Refused | Instead | Handed | Elsewhere
NUMBER, GONE, TAKEN = "is not a number", "No such folder or zip: nowhere", "already"
COUNTED = "Give --folds a number of 2 or more"
TRAINING: dict[str, Shown] = {
    "--unfreeze": Refused("some", "last-block, all, none"),
    "--tricks": Refused("magic", "Choose from: warmup"),
    "--seed": Refused("-1", "The seed -1"),
    "--size": Refused("1", "--size is too small"),
    "--epochs": Refused("0", "--epochs is too small"),
    "--batch-size": Refused("0", "--batch-size is too small"),
    "--rate": Refused("inf", "--rate inf"),
}
RUN: dict[str, Shown] = {
    "--name": Refused("../x", "run name"),
    "--backbones": Refused("Nothing", "Choose from"),
    "--head": Refused("svm", "Choose from", ON),
    "--folds": Refused("1", COUNTED, ON),
    "--seed": Refused("many", NUMBER, ON),
    "--outliers": Refused("maybe", "decided, drop, keep", ON),
    "--features": Refused("nowhere", "No feature file nowhere", ON),
}
IDLE = "--data data would do nothing"
FOR, NO_COMPETITION = ("--competition", "cats"), "is no name of a competition"
OWN_WEIGHTS = "would do nothing: mine bring their own weights"

FLAGS: dict[str, dict[str, Shown]] = {
    "fetch": {
        "--source": Refused("moon", "kaggle, microsoft"),
        "--data": Handed("elsewhere", "catsdogs.competition.fetch.fetch", ("--source", "microsoft")),
    },
    "features": {
        "--data": Refused("nowhere", GONE, ON),
        "--backbones": Refused("ResNet5", "Choose from", ("--data", "data")),
        "--weights-dir": Refused("gone", OWN_WEIGHTS, ("--data", "data", "--backbones", "mine")),
        "--engine": Refused("warp", "Choose from: auto", ("--data", "data", *ON)),
        "--precision": Refused("int3", "Choose from: auto", ("--data", "data", *ON)),
        "--batch-size": Refused("0", "above 0", ("--data", "data", *ON)),
        "--dtype": Refused("int", "float32, float16", ("--data", "data", *ON)),
        "--out": Refused(FILE, "cannot be written", ("--data", "data", *ON)),
        "--limit": Refused("0", "A limit of 0", ("--data", "data", *ON)),
        "--classes": Refused("cow,dog", "cow", ("--data", "data", *ON)),
        "--holdout": Refused("2", "--holdout 2", ("--data", "data", *ON)),
        "--devices": Refused("many", "one, all", ("--data", "data", *ON)),
        "--cluster": Refused("nonsense", "--cluster", ("--data", "data", *ON)),
    },
    "outliers": {
        "--backbones": Refused("Nothing", "Choose from"),
        "-k": Refused("5", "-k would do nothing", ("--backbones", "gap_Old", "--data", "data")),
        "--votes": Refused("1", "--votes would do nothing", ("--backbones", "gap_Old", "--data", "data")),
        "--quartiles": Refused("", "would do nothing", ("--backbones", "gap_Old", "--data", "data"), bare=True),
        "--all": Refused("", "No ImageNet labels", ("--backbones", "gap_Old", "--data", "data"), bare=True),
        "--features": Refused("nowhere", "No feature file nowhere", ON),
        "--data": Refused("nowhere", GONE, ON),
    },
    "train": RUN
    | {
        "--data": Refused("nowhere", GONE, (*ON, "--head", "ridge")),
        "--repeat": Refused("gone", "No run is called 'gone'"),
        "--force": Instead(TAKEN, ("--name", "ridged", "--head", "svm", *ON)),
        "--competition": Refused("a/b", NO_COMPETITION, ("--name", "new", *ON)),
    },
    "compare": {name: shown for name, shown in RUN.items() if name not in ("--name", "--head")}
    | {
        "--folds": Refused("1", COUNTED, (*ON, "--heads", "ridge")),
        "--heads": Refused("svm", "Choose from", ON),
        "--repeats": Refused("0", "0 repeats", ON),
        "--data": Refused("data", IDLE, ON),
    },
    "replay": RUN
    | {
        "--protocol": Refused("kaggle", "mlebench", ON),
        "--data": Refused("data", IDLE, (*ON, "--head", "ridge")),
        "--force": Instead(TAKEN, ("--name", "ridged", "--head", "svm", *ON)),
    },
    "predict": {
        "--name": Refused("gone", "No run is called 'gone'", ("--data", "data")),
        "--data": Refused("nowhere", GONE, ("--name", "ridged")),
        "--out": Refused(f"{FILE}/p.csv", "cannot be written", ("--name", "ridged", "--data", "data")),
        "--weights-dir": Refused("gone", "No such folder of weights", ("--name", "ridged", "--data", "data")),
        "--features": Refused(FILE, "cannot be written", ("--name", "ridged", "--data", "data")),
    },
    "grade": {
        "--name": Refused("gone", "No run is called 'gone'", ("--truth", "data/truth.csv")),
        "--truth": Refused("none.csv", "no such file", ("--name", "ridged")),
    },
    "submit": {
        "--name": Refused("gone", "No run is called 'gone'"),
        "--message": Handed(
            "hello", "catsdogs.competition.kaggle.upload", ("--name", "ridged", "--data", "data", *FOR)
        ),
        "--data": Refused("nowhere", GONE, ("--name", "ridged", *FOR)),
        "--competition": Refused("a/b", NO_COMPETITION, ("--name", "ridged")),
    },
    "report": {
        "--name": Refused("gone", "No run is called 'gone'"),
        "--features": Refused("nowhere", "No feature file nowhere", ("--name", "ridged")),
        "--data": Refused("nowhere", GONE, ("--name", "ridged")),
    },
    "serve": {
        "--name": Refused("gone", "No run is called 'gone'"),
        "--features": Refused("nowhere", "No such folder of feature files: nowhere"),
        "--data": Refused("nowhere", GONE),
        "--weights-dir": Refused("gone", "no run whose networks", ("--features", "empty", "--data", "data")),
        "--host": Refused("no.such.host.invalid", "no.such.host.invalid", ("--features", "empty", "--data", "data")),
        "--port": Refused("70000", "65,535"),
    },
    "finetune": TRAINING
    | {
        "--backbone": Refused("nothing", "four-conv"),
        "--name": Refused("lite", "name of a network already"),
        "--data": Refused("nowhere", GONE),
        "--classes": Refused("cow,dog", "cow"),
        "--holdout": Refused("2", "--holdout 2"),
        "--folds": Refused("0", COUNTED),
        "--weights-dir": Refused("weights", "four-conv starts from random weights"),
        "--devices": Refused("many", "one, all"),
        "--force": Instead(TAKEN, ("--backbone", "nothing", "--name", "mine")),
    },
    "distill": TRAINING
    | {
        "--teacher": Refused("gone", "No run is called 'gone'"),
        "--student": Refused("siamese-cnn", "learns from pairs"),
        "--name": Refused("lite", "name of a network already"),
        "--data": Refused("nowhere", GONE),
        "--features": Refused("nowhere", "No feature file nowhere"),
        "--weights-dir": Refused("gone", "No such folder of weights: gone"),
        "--devices": Refused("many", "one, all"),
        "--force": Instead(TAKEN, ("--teacher", "gone", "--name", "mine")),
    },
    "ablate": TRAINING
    | {
        "--backbone": Refused("nothing", "four-conv"),
        "--data": Refused("nowhere", GONE),
        "--classes": Refused("cow,dog", "cow"),
        "--folds": Refused("1", COUNTED),
        "--weights-dir": Refused("weights", "four-conv starts from random weights"),
    },
    "filters": {
        "--name": Refused("gone", "mine"),
        "--layer": Elsewhere("test_finetuning.py::test_finetune_and_filters"),
        "--data": Refused("nowhere", GONE, ("--name", "mine")),
    },
    "verify": {
        "--name": Refused("gone", "No run is called 'gone'", ("--left", FILE, "--right", FILE)),
        "--left": Refused("gone.jpg", "gone.jpg", ("--name", "twins", "--right", FILE)),
        "--right": Refused("gone.jpg", "gone.jpg", ("--name", "twins", "--left", FILE)),
        "--weights-dir": Refused("gone", "No such folder", ("--name", "twins", "--left", FILE, "--right", FILE)),
    },
    "fewshot": {
        "--backbones": Refused("Nothing", "Choose from"),
        "--new": Refused("cow", "cow", ON),
        "--shots": Refused("0", "0 examples", (*ON, "--new", "c,d")),
        "--repeats": Refused("1", "1 episodes", (*ON, "--new", "c,d")),
        "--twin": Refused("gone", "No run is called 'gone'", ON),
        "--name": Refused("../x", "'../x' is not that of a file", (*ON, "--new", "c,d")),
        "--seed": Refused("-1", "seed -1", (*ON, "--new", "c,d")),
        "--features": Refused("nowhere", "No feature file nowhere", ON),
        "--data": Refused("data", IDLE, (*ON, "--new", "c,d")),
    },
    "shards": {
        "--format": Refused("zip", "tfrecord"),
        "--data": Refused("nowhere", GONE),
        "--classes": Refused("cow,dog", "cow", ("--data", "data")),
        "--holdout": Refused("2", "--holdout 2", ("--data", "data")),
        "--count": Refused("0", "0 shards", ("--data", "data")),
        "--size": Refused("0", "--size 0", ("--data", "data")),
        "--out": Refused("data", "lies in data", ("--data", "data")),
    },
    "status": {"--features": Refused("nowhere", "No such folder of feature files: nowhere")},
    "demo": {"--data": Refused("nowhere", GONE)},
    "clean": {"--features": Refused("nowhere", "No such folder of feature files: nowhere")},
}
BASES = {"finetune": TUNED, "ablate": ("--data", "data"), "distill": TAUGHT}
CHORES = {name for name, chore in vars(chores).items() if hasattr(chore, "body")}


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
    return [(command, flag) for command, flags in FLAGS.items() for flag in flags]


def test_every_flag_of_every_command_is_in_the_table() -> None:
    there = {context.name: set(context.flags) for context in cli.collection.to_contexts() if context.name not in CHORES}
    assert {name: set(flags) for name, flags in FLAGS.items()} == there


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
    ("arguments", "said"),
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
    inside: Path, command: Command, arguments: tuple[str, ...], said: str
) -> None:
    code, out, err = command(*arguments)
    assert (code, out, len(err.strip().splitlines())) == (2, "", 1) and said in err


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
        monkeypatch.setattr(flags_module.tempfile, "TemporaryFile", refuse_to_write)
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
