"""The command line: one invoke task a stage. Heavy libraries are imported by the stage that needs them."""

import contextlib
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from invoke import Collection, Context

from catsdogs import chores, settings
from catsdogs.console import Program, next_steps, say, stage, wrote
from catsdogs.errors import StoreError, SubmissionError, UnknownNameError, UsageError

if TYPE_CHECKING:
    from catsdogs.dataset import Dataset
    from catsdogs.extract import Settings
    from catsdogs.runs import Run
    from catsdogs.store import Features

SUBMISSIONS = Path("submissions")
DEMO = "demo"
DEMO_DATA = Path("data") / DEMO
COMPETITION_CLASSES = ["cat", "dog"]
OUTLIER_POLICIES = ("keep", "drop")
PREDICTION_CACHE = ".predict"

DATA = "the photographs: a folder or zip with train/ and test/, a folder per class, or a CSV of file names and labels"
BACKBONES = "networks, separated by commas; `lite` is short for the three embedded EfficientNet-Lites"
WEIGHTS_DIR = "a folder of weights files to look in first (or the environment's CATSDOGS_WEIGHTS)"
FEATURES = "the folder of feature files"
NAME = "the run: a folder of submissions/"


@stage(data=DATA, source="kaggle (needs an account) or microsoft (the same labelled photographs, no account)")
def fetch(c: Context, source: str = "kaggle", data: str | None = None) -> None:
    """Download the competition's photographs."""
    from catsdogs.fetch import fetch as fetch_photographs

    summary = fetch_photographs(source, _path(c, "data", data))
    counts = ", ".join(f"{count:,} in {folder}" for folder, count in summary.counts.items())
    say(f"{summary.data}: {counts}" + (f"; already there: {', '.join(summary.skipped)}" if summary.skipped else ""))
    next_steps(f"features{_flags(c, data=str(summary.data))}")


@stage(
    data=DATA,
    backbones=BACKBONES,
    weights_dir=WEIGHTS_DIR,
    engine="auto, keras or openvino; auto is that of the feature file, else Keras on a GPU and OpenVINO elsewhere",
    precision="auto, float32 or bfloat16; auto is that of the feature file, else bfloat16 where it is faster and safe",
    batch_size="photographs in a batch",
    dtype="how vectors are stored: float32 or float16",
    out=FEATURES,
    limit="read at most so many photographs, spread over the data set",
)
def features(
    c: Context,
    data: str | None = None,
    backbones: str | None = None,
    weights_dir: str | None = None,
    engine: str | None = None,
    precision: str | None = None,
    batch_size: str | None = None,
    dtype: str | None = None,
    out: str | None = None,
    limit: str | None = None,
) -> None:
    """Write features/<Backbone>.h5: run all networks over all photographs, in one pass, going on where it stopped."""
    how = _extraction_settings(c, weights_dir, engine, precision, batch_size, dtype)
    root, folder = _path(c, "data", data), _path(c, "features", out)
    _extract(root, _backbones(c, backbones), folder, how, settings.number("limit", limit) if limit else None)
    flags = _flags(c, backbones=backbones, features=str(folder))
    next_steps(f"outliers{flags}", f"train{flags}")


@stage(
    backbones=BACKBONES,
    features=FEATURES,
    data=DATA,
    k="how many of a network's best labels to look through for a pet, 1 to 10",
    votes="how many networks must see no pet",
    quartiles="also list photographs far outside the quartiles of size, shape, contrast and colours",
    all="also write every photograph's labels to topk.csv",
)
def outliers(
    c: Context,
    backbones: str | None = None,
    k: str = "10",
    votes: str = "1",
    quartiles: bool = False,
    all: bool = False,
    features: str | None = None,
    data: str | None = None,
) -> None:
    """List photographs that show no pet, and other oddities, in outliers.csv and as a contact sheet."""
    from catsdogs import decisions

    folder = _path(c, "features", features)
    files = _read_features(c, folder, backbones, data)
    of_pets = _find_outliers(
        folder, files, data, settings.number("k", k), settings.number("votes", votes), quartiles, all
    )
    say(f"To decide yourself: rows id,decision,label,when (keep or drop) in {folder / decisions.TABLE}")
    drop = " --outliers drop" if of_pets else ""
    next_steps(f"train{drop}{_flags(c, backbones=backbones, features=str(folder))}")


@stage(
    name=NAME,
    backbones=BACKBONES,
    features=FEATURES,
    data=DATA,
    head="which small model to train",
    folds="folds of the cross-validation",
    seed="of the folds and the head",
    outliers="keep all rows, or drop those that decisions.csv names, or else those in which no network sees a pet",
    force="replace a run of the same name",
)
def train(
    c: Context,
    name: str | None = None,
    backbones: str | None = None,
    head: str | None = None,
    folds: str | None = None,
    seed: str | None = None,
    outliers: str | None = None,
    features: str | None = None,
    data: str | None = None,
    force: bool = False,
) -> None:
    """Cross-validate a head on cached features and write submissions/<name>/."""
    head, policy = _setting(c, "head", head), _setting(c, "outliers", outliers)
    if policy not in OUTLIER_POLICIES:
        raise UnknownNameError("policy for --outliers", policy, list(OUTLIER_POLICIES))
    name = name or head
    folder = _path(c, "features", features)
    files = _read_features(c, folder, backbones, data)
    run = _train(c, folder, files, name, head, policy, data, folds, seed, force)
    to_upload = [f"submit --name {name}"] if run.test_rows else []
    next_steps(*to_upload, f"predict --name {name} --data FOLDER", "status")


@stage(
    name=NAME, data="a photograph, or a folder or zip of them", weights_dir=WEIGHTS_DIR, features=FEATURES, out="a CSV"
)
def predict(
    c: Context,
    name: str,
    data: str,
    out: str | None = None,
    weights_dir: str | None = None,
    features: str | None = None,
) -> None:
    """Probabilities for any photographs (a file, folder or zip) with a trained head."""
    from catsdogs import prediction

    target = Path(out) if out else SUBMISSIONS / name / "predictions.csv"
    cache = _path(c, "features", features) / PREDICTION_CACHE
    weights = _extraction_settings(c, weights_dir).weights_dir
    predicted = prediction.predict(SUBMISSIONS / name, Path(data), target, cache, weights)
    for photograph in predicted.unreadable:
        say(f"unreadable, given the class prior: {photograph.id} ({photograph.reason})")
    wrote(target, f"the probability of {predicted.columns}, rows: {predicted.rows:,}")


@stage(name=NAME, truth="a CSV of id and label (0, 1 or the class)")
def grade(c: Context, name: str, truth: str) -> None:
    """Log loss of a run's CSV against a truth CSV, beside Kaggle's medal lines."""
    from catsdogs import runs, submission

    run = runs.read_run(SUBMISSIONS / name)
    graded = submission.grade(SUBMISSIONS / name / runs.SUBMISSION_FILE, Path(truth), run.classes)
    say(graded)
    if [label.lower() for label in run.classes] == COMPETITION_CLASSES:
        say(submission.standing(graded.log_loss))


@stage(name=NAME, message="shown beside the submission on Kaggle", data=DATA)
def submit(c: Context, name: str, message: str | None = None, data: str | None = None) -> None:
    """Check a run's CSV, upload it to Kaggle and show the answer."""
    from catsdogs import kaggle, runs, submission

    run = runs.read_run(SUBMISSIONS / name)
    path = SUBMISSIONS / name / runs.SUBMISSION_FILE
    if not path.exists():
        raise SubmissionError(
            f"The run {name} has no CSV, for {run.source} had no test photographs", "Train on data with test/"
        )
    dataset = _dataset_at(data or run.source)
    sample = dataset.sample_submission if dataset else None
    rows = submission.check(path, sample, run.classes)
    say(f"{path}: {rows:,} rows, {'like the sample submission' if sample else 'with no sample submission to compare'}")
    answer = kaggle.upload(path, message or f"{name}: {run.scores[0]}")
    scores = [("public", answer.public_score), ("private", answer.private_score)]
    shown = ", ".join(f"{which} score {score:.5f}" for which, score in scores if score is not None)
    say(f"Kaggle: {', '.join(filter(None, [answer.status, shown, answer.detail]))}; see {answer.url}")


@stage(features=FEATURES)
def status(c: Context, features: str | None = None) -> None:
    """What is cached, for which networks and how many rows, and which runs there are with their scores."""
    from catsdogs import runs, store

    folder = _path(c, "features", features)
    for name in store.names(folder):
        path = store.path_of(folder, name)
        try:
            say(f"{path}: an old notebook's vectors" if store.is_gap_file(path) else _describe(store.read(path)))
        except StoreError as error:
            say(error)
    listing = runs.list_runs(SUBMISSIONS)
    for run in listing.runs:
        say(f"{SUBMISSIONS / run.name}: {run.head} on {' + '.join(run.backbones)}, {run.scores[0]}")
    for damage in listing.damaged:
        say(damage)
    next_steps("features", "train")


@stage(data="a folder of your own photographs to make the tour with")
def demo(c: Context, data: str | None = None) -> None:
    """The whole job in three minutes on drawn cats and dogs: features, outliers, training, grading."""
    from catsdogs import runs, submission
    from catsdogs.backbones import SHORTHANDS

    root = Path(data) if data else DEMO_DATA
    name = f"{DEMO}-{root.resolve().name}" if data else DEMO
    folder = _path(c, "features") / name
    if not data:
        from catsdogs.drawings import draw_dataset

        counts = draw_dataset(root)
        say(f"{root}: {counts['train']} + {counts['test']} pictures, drawn by this program: these are no photographs")
    say("\n[1 of 4] features: three pretrained networks, one pass")
    _extract(root, list(SHORTHANDS["lite"]), folder, _extraction_settings(c))
    files = _read_features(c, folder, "lite", None)
    say("\n[2 of 4] outliers: what shows no pet")
    _find_outliers(folder, files, data)
    say("\n[3 of 4] train: dropout and a sigmoid on the joined vectors")
    _train(c, folder, files, name, settings.DEFAULTS["head"], "keep", data, force=True)
    say("\n[4 of 4] grade: the CSV against the truth")
    path, truth = SUBMISSIONS / name / runs.SUBMISSION_FILE, root / "truth.csv"
    if path.exists() and truth.exists():
        say(submission.grade(path, truth, runs.read_run(path.parent).classes))
    else:
        say(f"{root} has no truth.csv for test photographs; the out-of-fold log loss above is the estimate")
    say(f"the CSV: {path if path.exists() else f'none, for {root} has no test photographs'}")
    say("\nNow with real photographs:")
    next_steps("fetch --source microsoft", "features --backbones lite", "train --backbones lite --name first")


@stage(features=FEATURES)
def clean(c: Context, features: str | None = None) -> None:
    """Remove the demo and cached predictions; your feature files, unfinished shards and runs stay."""
    from catsdogs import store

    folder = _path(c, "features", features)
    all_of_it = (folder / PREDICTION_CACHE, folder / DEMO, DEMO_DATA, SUBMISSIONS / DEMO)
    leftovers = [path for path in all_of_it if path.exists()]
    for leftover in leftovers:
        with contextlib.ExitStack() as in_use:
            for lock in leftover.rglob(".lock"):
                in_use.enter_context(store.locked(lock.parent))
            shutil.rmtree(leftover)
        say(f"removed {leftover}")
    if not leftovers:
        say("nothing to remove")


def _setting(c: Context, name: str, given: str | None = None) -> str:
    return settings.value(c.config, name, given)


def _path(c: Context, name: str, given: str | None = None) -> Path:
    return Path(_setting(c, name, given)).expanduser()


def _backbones(c: Context, given: str | None) -> list[str]:
    from catsdogs.backbones import expand

    names = expand(_setting(c, "backbones", given))
    if not names:
        raise UsageError("--backbones names no network", "Give names separated by commas, such as lite,Xception")
    return names


def _flags(c: Context, **chosen: str | None) -> str:
    """The flags that the next command needs to find the same files, without those that are the default."""
    given = {name: value for name, value in chosen.items() if value and value != _setting(c, name)}
    return "".join(f" --{name} {shlex.quote(value)}" for name, value in given.items())


def _extraction_settings(
    c: Context,
    weights_dir: str | None = None,
    engine: str | None = None,
    precision: str | None = None,
    batch_size: str | None = None,
    dtype: str | None = None,
) -> "Settings":
    from catsdogs.extract import Settings

    size = _setting(c, "batch_size", batch_size)
    return Settings(
        weights_dir=_setting(c, "weights_dir", weights_dir) or os.environ.get("CATSDOGS_WEIGHTS") or None,
        engine=_setting(c, "engine", engine),
        precision=_setting(c, "precision", precision),
        batch_size=settings.number("batch-size", size) if size else None,
        dtype=_setting(c, "dtype", dtype),
    )


def _extract(root: Path, names: Sequence[str], folder: Path, how: "Settings", limit: int | None = None) -> None:
    from catsdogs import store
    from catsdogs.dataset import scan
    from catsdogs.extract import extract

    dataset = scan(root)
    counts = f"{len(dataset.of('train')):,} train, {len(dataset.of('test')):,} test photographs"
    say(f"{root}: {counts}, classes {', '.join(dataset.classes)}")
    summary = extract(dataset, names, folder, how, limit)
    for photograph in summary.unreadable:
        say(f"unreadable, left out: {photograph.split}/{photograph.id} ({photograph.reason})")
    rows = " + ".join(f"{count:,} {split}" for split, count in summary.rows.items())
    for path, (name, computed) in zip(summary.paths, summary.computed.items(), strict=True):
        recipe = store.recipe_of(path)
        how_made = f"{recipe.engine} {recipe.precision}"
        if summary.written[name]:
            wrote(path, f"{rows} rows, {computed:,} of them computed now, {how_made}")
        else:
            say(f"{path} is up to date  ({rows} rows, {how_made})")
    if summary.unreadable:
        say(f"unreadable: {len(summary.unreadable):,} of {len(dataset.photographs):,} photographs")


def _read_features(c: Context, folder: Path, backbones: str | None, data: str | None) -> "list[Features]":
    from catsdogs import store
    from catsdogs.backbones import SHORTHANDS, TABLE
    from catsdogs.dataset import scan

    files = []
    for name in _backbones(c, backbones):
        path = store.path_of(folder, name)
        if name not in TABLE and not path.exists():
            raise UnknownNameError("backbone or feature file", name, [*SHORTHANDS, *store.names(folder), *TABLE])
        old = path.exists() and store.is_gap_file(path)
        files.append(store.read(path, scan(_path(c, "data", data)) if old else None))
    return files


def _dataset_of(files: "Sequence[Features]", data: str | None) -> "Dataset | None":
    """The photographs that the features were made from, if they are still there; a folder given by hand must be."""
    from catsdogs.dataset import scan

    return scan(Path(data)) if data else _dataset_at(files[0].source)


def _dataset_at(source: str) -> "Dataset | None":
    """The data set at a path that a file of ours remembers, or None, said aloud, if nothing is there any more."""
    from catsdogs.dataset import scan

    if Path(source).exists():
        return scan(Path(source))
    say(f"The photographs are no longer at {source}: no sample submission to compare with, no thumbnails. Give --data")
    return None


def _find_outliers(
    folder: Path,
    files: "Sequence[Features]",
    data: str | None,
    k: int = 10,
    votes: int = 1,
    quartiles: bool = False,
    everything: bool = False,
) -> bool:
    """Write the table and the contact sheet; whether these are photographs of pets at all."""
    from catsdogs import contact_sheet, outliers

    suspects = outliers.find(files, k, votes, quartiles)
    say(outliers.summary(suspects, files))
    outliers.write_csv(folder / outliers.TABLE, suspects)
    wrote(folder / outliers.TABLE)
    if everything:
        outliers.write_everything(folder / outliers.EVERYTHING, files, k)
        wrote(folder / outliers.EVERYTHING)
    dataset = _dataset_of(files, data)
    if dataset:
        contact_sheet.write(folder / contact_sheet.NAME, suspects, dataset)
        wrote(folder / contact_sheet.NAME)
    return outliers.about_pets(suspects, files)


def _train(
    c: Context,
    folder: Path,
    files: "Sequence[Features]",
    name: str,
    head: str,
    policy: str,
    data: str | None,
    folds: str | None = None,
    seed: str | None = None,
    force: bool = False,
) -> "Run":
    from catsdogs import decisions, training

    drops = decisions.rows_to_drop(folder, files) if policy == "drop" else None
    if drops:
        say(drops.sentence)
    dataset = _dataset_of(files, data)
    run = training.train(
        files,
        head=head,
        folds=settings.number("folds", _setting(c, "folds", folds)),
        seed=settings.number("seed", _setting(c, "seed", seed)),
        submissions=SUBMISSIONS,
        name=name,
        drop=drops.ids if drops else frozenset(),
        sample_submission=dataset.sample_submission if dataset else None,
        command=" ".join(["catsdogs", *sys.argv[1:]]),
        force=force,
    )
    for score in run.scores:
        say(score)
    if run.unreadable:
        say(f"given the class prior, for they cannot be read: test {', '.join(run.unreadable)}")
    for path in sorted((SUBMISSIONS / name).iterdir()):
        wrote(path)
    return run


def _describe(file: "Features") -> str:
    recipe = file.recipe
    rows = " + ".join(f"{len(ids):,} {split}" for split, ids in file.ids.items())
    unreadable = f", {len(file.unreadable):,} unreadable" if file.unreadable else ""
    return (
        f"{file.path}: {rows} rows x {file.width}{unreadable}, {recipe.engine} {recipe.precision}, "
        f"weights {recipe.weights[:12]}, from {file.source}"
    )


collection = Collection(
    fetch,
    features,
    outliers,
    train,
    predict,
    grade,
    submit,
    status,
    demo,
    clean,
    chores.test,
    chores.lint,
    chores.bench,
)


def main() -> None:
    """The console command `catsdogs`."""
    Program(collection).run()
