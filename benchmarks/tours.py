"""`python -m benchmarks.tours BEFORE [AFTER]`: every command, as a user types it, in two checkouts of the project.

What each command prints, its exit code and the files it writes must be the same in both. Both tours start from the same
drawn photographs, in a folder of the same path, and one comes after the other, so that printed paths agree. It takes a
few minutes a checkout, needs the networks that the package `efficientnet-lite0-pytorch` and its like bring, and goes
to no network. Ends with 1 if anything differs.
"""

import argparse
import contextlib
import csv
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np

from benchmarks import tours_compare
from catsdogs.demo import drawings

CHECKOUT = Path(__file__).parents[1]
LITE = "--backbones EfficientNetLite0"
TINY = "--size 32 --epochs 1 --batch-size 8"
PROGRAM = "from catsdogs.cli import main; main()"
# fmt: off
COMMANDS = (
    "fetch", "features", "outliers", "train", "compare", "replay", "predict", "grade", "submit", "report", "serve",
    "finetune", "distill", "ablate", "filters", "verify", "fewshot", "shards", "status", "demo", "clean",
)
# fmt: on
HEADS = ("dropout-sigmoid", "logistic", "ridge", "stack", "blend", "notebook", "GaussianNB", "own.py")
OWN_HEAD = """import numpy as np
from sklearn.linear_model import LogisticRegression


class OwnHead(LogisticRegression):
    def predict_proba(self, X):
        return 0.5 * super().predict_proba(X) + 0.25
"""
SECONDS = 600  # that a command may take


def draw(folder: Path) -> None:
    """A tour's photographs, below `folder`: Kaggle's layout, a zip of it, a folder per class, and a table of labels."""
    drawings.TRAIN_PER_CLASS, drawings.TEST_COUNT, drawings.NO_PET_COUNT = 14, 8, 4
    drawings.draw_dataset(folder / "data")
    train = folder / "data/train"
    shutil.copyfile(train / "dog.1.jpg", train / "dog.50.jpg")
    shutil.make_archive(str(folder / "zipped"), "zip", folder / "data", "train")
    (folder / "breeds/scene").mkdir(parents=True)
    (folder / "listed/train").mkdir(parents=True)
    for number in range(8):
        picture = drawings.draw_scene(np.random.default_rng(number), (240, 180))
        picture.save(folder / f"breeds/scene/{number}.jpg")
    rows = [("id", "breed")]
    for kind in ("cat", "dog"):
        (folder / "breeds" / kind).mkdir()
        for number in range(8):
            source = train / f"{kind}.{number}.jpg"
            shutil.copyfile(source, folder / f"breeds/{kind}/{number}.jpg")
            shutil.copyfile(source, folder / f"listed/train/{kind}{number}.jpg")
            rows.append((f"{kind}{number}", kind))
    with (folder / "listed/labels.csv").open("w", encoding="utf-8", newline="") as text:
        csv.writer(text).writerows(rows)
    (folder / "own.py").write_text(OWN_HEAD, encoding="utf-8")


def old_vectors(folder: Path) -> None:
    """What a notebook of before this program left: vectors without ids."""
    with h5py.File(folder / "features/EfficientNetLite0.h5", "r") as file:
        labels = np.sort(file["label"][...])
    # The two damaged photographs are rows, too: that notebook had another decoder.
    labels = np.sort(np.append(labels, [0, 1]))
    vectors = np.random.default_rng(0).normal(size=(len(labels), 8)) + labels[:, np.newaxis]
    with h5py.File(folder / "features/gap_Old.h5", "w") as file:
        file["train"], file["label"], file["test"] = vectors, labels, np.zeros((8, 8))


def decide(folder: Path) -> None:
    """What a person may have decided on the page."""
    text = "id,decision,label,when\ncat.0,drop,,2026-01-01\ndog.0,keep,,\ndog.3,relabel,cat,\n"
    (folder / "features/decisions.csv").write_text(text, encoding="utf-8")


def decide_badly(folder: Path) -> None:
    """A row that no one can obey."""
    text = "id,decision,label,when\ncat.0,drop,,\ncat.1,perhaps,,\n"
    (folder / "features/decisions.csv").write_text(text, encoding="utf-8")


def forget_decisions(folder: Path) -> None:
    """As if nobody had decided anything."""
    (folder / "features/decisions.csv").unlink()


def damage(folder: Path) -> None:
    """A feature file, a run and a network that a full disk or a bad copy cut short."""
    (folder / "damaged").mkdir()
    whole = (folder / "features/EfficientNetLite0.h5").read_bytes()
    (folder / "damaged/EfficientNetLite0.h5").write_bytes(whole[:100_000])
    for card in ("submissions/GaussianNB/run.json", "networks/pocket/network.json"):
        path = folder / card
        path.write_text(path.read_text(encoding="utf-8")[:200], encoding="utf-8")


def set_up(folder: Path) -> None:
    """Settings in place of flags."""
    text = "catsdogs:\n  data: data\n  backbones: EfficientNetLite0\n"
    (folder / "invoke.yaml").write_text(text, encoding="utf-8")


def set_up_badly(folder: Path) -> None:
    """A setting that does not exist."""
    (folder / "invoke.yaml").write_text("catsdogs:\n  folder: data\n", encoding="utf-8")


def forget_settings(folder: Path) -> None:
    """Flags again."""
    (folder / "invoke.yaml").unlink()


Step = str | Callable[[Path], None]

HELP: tuple[Step, ...] = ("--list", "--help", *(f"--help {command}" for command in COMMANDS))
BEGINNING: tuple[Step, ...] = (
    "status",
    "clean",
    f"outliers {LITE}",
    f"train {LITE}",
    "compare",
    "report --name first",
    "fetch --source kaggle",
)
EXTRACTING: tuple[Step, ...] = (
    f"features --data data {LITE}",
    f"features --data data {LITE}",
    f"features --data zipped.zip {LITE} --out zipped --limit 20 --dtype float16",
    f"features --data breeds {LITE} --out many",
    f"features --data listed {LITE} --out listed --holdout 0.25",
    f"features --data data {LITE} --out keras --engine keras --limit 6 --batch-size 4",
    f"outliers {LITE} --all --quartiles -k 5",
    f"outliers {LITE} --features many",
    "status",
)
TRAINING: tuple[Step, ...] = (
    *(f"train {LITE} --head {head} --folds 3" for head in HEADS),
    f"train {LITE} --head twin --folds 2 --name twins",
    "train --repeat logistic",
    f"train {LITE} --features many --head logistic --folds 3 --name many",
    f"train {LITE} --features many --head twin --folds 2 --name many-twins",
    f"train {LITE} --features listed --head ridge --folds 2 --name listed",
    "grade --name listed --truth listed/truth.csv",
    f"train {LITE} --head ridge --outliers drop --name dropped",
    old_vectors,
    "train --backbones gap_Old --data data --head logistic --name old",
    decide,
    f"train {LITE} --head ridge --name decided --competition dog-breed-identification",
    forget_decisions,
    f"compare {LITE} --heads logistic,ridge,GaussianNB --folds 3 --repeats 2",
    f"replay {LITE} --head ridge --folds 2",
    "grade --name mlebench --truth submissions/mlebench/truth.csv",
)
ANSWERING: tuple[Step, ...] = (
    "predict --name logistic --data data/test",
    "predict --name many --data data/test/1.jpg --out one.csv",
    "predict --name ridge --data zipped.zip --out zipped.csv",
    "grade --name logistic --truth data/truth.csv",
    "submit --name logistic --competition dog-breed-identification",
    "submit --name mlebench",
    "submit --name ridge",
    "report --name dropout-sigmoid",
    "report --name many",
    "verify --name twins --left data/train/cat.0.jpg --right data/test/1.jpg",
    f"fewshot {LITE} --features many --new scene,dog --shots 2 --repeats 3",
    f"fewshot {LITE} --features many --twin twins --shots 2 --repeats 2 --name by-twins",
    f"fewshot {LITE} --features many --twin many-twins",
    "shards --data data --count 2 --out packed",
    "shards --data breeds --size 32 --out small",
    f"features --data packed {LITE}",
)
NETWORKS: tuple[Step, ...] = (
    f"finetune --backbone four-conv --name small --data data --folds 2 --tricks flip,dropout {TINY}",
    f"finetune --backbone siamese-cnn --name pairs --data data --folds 1 --holdout 0.2 {TINY}",
    f"distill --teacher ridge --student four-conv --name pocket {TINY}",
    f"ablate --data data --tricks flip,mixup --folds 2 {TINY}",
    "filters --name small",
    "filters --name small --layer conv2 --data data/test/1.jpg",
    "features --data data --backbones small",
    "train --backbones EfficientNetLite0,small --head ridge --folds 3 --name both",
    "predict --name both --data data/test --out both.csv",
    "status",
)
MISTAKES: tuple[Step, ...] = (
    "trian --head ridge",
    "finetune",
    "train --name",
    f"train {LITE} --head ridge --seed=1 --head stack",
    "features --colour red",
    "fetch --source moon",
    "features --data data --backbones ResNet5",
    f"features --data nowhere {LITE}",
    f"features --data data {LITE} --batch-size many",
    f"features --data data {LITE} --limit 0",
    f"features --data data {LITE} --holdout 2",
    f"features --data data {LITE} --engine warp",
    f"features --data breeds {LITE} --classes cow,dog",
    f"features --data data {LITE} --weights-dir gone",
    f"features --data data {LITE} --out data/train/cat.0.jpg/x",
    f"outliers {LITE} -k 11",
    f"train {LITE} --head logistic",
    f"train {LITE} --head svm",
    f"train {LITE} --folds 40",
    f"train {LITE} --outliers maybe --name maybe",
    f"train {LITE} --features nowhere --name new",
    "train --repeat gone",
    "train --repeat logistic --seed 1",
    f"train {LITE} --head own.txt --name ../x",
    "train --backbones gap_Old --head ridge --name older",
    decide_badly,
    f"train {LITE} --head ridge --name badly",
    forget_decisions,
    f"compare {LITE} {LITE}",
    f"compare {LITE} --heads svm",
    f"replay {LITE} --protocol kaggle",
    "predict --name gone --data data",
    "predict --name old --data data/test",
    "predict --name logistic --data nowhere",
    "grade --name logistic --truth none.csv",
    "report --name gone",
    "serve --port 70000",
    "serve --port many",
    "serve --name gone",
    "finetune --backbone nothing",
    "finetune --backbone four-conv --data data --tricks magic",
    "distill --teacher gone",
    "ablate --data data --backbone Xception --tricks he",
    "filters --name gone",
    "verify --name logistic --left data/test/1.jpg --right data/test/2.jpg",
    f"fewshot {LITE} --new cow",
    "shards --data data --format zip",
    "shards --data data --out data",
    damage,
    f"train {LITE} --features damaged --name torn",
    "predict --name GaussianNB --data data/test",
    "features --data data --backbones pocket",
    "status",
    f"features --data data {LITE} --out damaged",
)
END: tuple[Step, ...] = (
    set_up,
    "features",
    set_up_badly,
    "features",
    forget_settings,
    "demo --data data",
    "demo --data nowhere",
    "clean",
    "status",
)
TOUR: tuple[Step, ...] = HELP + BEGINNING + EXTRACTING + TRAINING + ANSWERING + NETWORKS + MISTAKES + END


def main(arguments: Sequence[str] | None = None) -> int:
    """Make both tours, compare them, and say where they differ."""
    options = _parse(arguments)
    checkouts = {"before": options.before.resolve(), "after": options.after.resolve()}
    with tempfile.TemporaryDirectory(prefix="catsdogs-tours-") as scratch:
        root = Path(scratch)
        draw(root / "drawn")
        commands: list[str] = []
        for name, checkout in checkouts.items():
            commands = travel(checkout, root, root / name)
        different = 0
        for number, command in enumerate(commands):
            found = list(tours_compare.differences(*(root / name / f"{number:03}" for name in checkouts)))
            different += bool(found)
            print(f"{'differs' if found else 'same   '} catsdogs {command}")
            for sentence in found:
                print(f"        {sentence}")
    print(f"{len(commands)} commands, {different} of them differ")
    return int(different > 0)


def travel(checkout: Path, root: Path, results: Path) -> list[str]:
    """Type every command of the tour in one checkout; what each said and wrote goes to `results/000`, and so on."""
    print(f"the tour of {checkout}", file=sys.stderr)
    folder = root / "tour"
    (root / "home").mkdir()
    shutil.copytree(root / "drawn", folder)
    seen = _state(folder)
    commands: list[str] = []
    for step in TOUR:
        if not isinstance(step, str):
            with contextlib.suppress(OSError):  # what an earlier command ought to have written: that one is told
                step(folder)
            seen = _state(folder)
            continue
        target = results / f"{len(commands):03}"
        commands.append(step)
        start = time.perf_counter()
        _type(step, checkout, root, folder, target)
        print(f"{time.perf_counter() - start:6.1f} s  catsdogs {step}", file=sys.stderr)
        now = _state(folder)
        (target / "removed.txt").write_text("".join(f"{name}\n" for name in sorted(seen.keys() - now.keys())))
        for name in now:
            if now[name] != seen.get(name):
                (target / "files" / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / name, target / "files" / name)
        seen = now
    shutil.rmtree(folder)
    shutil.rmtree(root / "home")  # the next tour exports networks itself
    return commands


def _type(step: str, checkout: Path, root: Path, folder: Path, target: Path) -> None:
    """Run a command, and write down its output and exit code."""
    command = [sys.executable, "-c", PROGRAM, *shlex.split(step)]
    done = subprocess.run(  # noqa: S603 - the commands of this file
        command, cwd=folder, env=_environment(checkout, root), capture_output=True, timeout=SECONDS, check=False
    )
    target.mkdir(parents=True)
    for name, text in (("output", done.stdout), ("errors", done.stderr)):
        printed = text.decode(errors="replace").replace(str(checkout), "CHECKOUT")
        (target / f"{name}.txt").write_text(printed, encoding="utf-8")
    (target / "exit-code.txt").write_text(str(done.returncode))


def _environment(checkout: Path, root: Path) -> Mapping[str, str]:
    """That of a user without settings of their own, so that neither keys nor caches of this machine count."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KAGGLE_", "CATSDOGS_", "XDG_"))}
    return kept | {"HOME": str(root / "home"), "PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1"}


def _state(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Each file below a folder, and what tells that it was written again."""
    stats = ((path, path.stat()) for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (found.st_mtime_ns, found.st_size, found.st_ino) for path, found in stats}


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tours", description="Commands before and after")
    parser.add_argument("before", type=Path, help="a checkout of the project")
    parser.add_argument("after", type=Path, nargs="?", default=CHECKOUT, help="another one; this one if not given")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
