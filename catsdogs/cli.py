"""The command line: one invoke task a stage. Heavy libraries are imported by the stage that needs them."""

import functools
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke import Collection, Context, Exit, ParseError, Program, task

from catsdogs import __version__
from catsdogs.errors import CatsdogsError, DatasetError, StoreError, UnknownNameError, UsageError

if TYPE_CHECKING:
    from catsdogs.dataset import Dataset
    from catsdogs.extract import Settings, Summary
    from catsdogs.store import Features

SUBMISSIONS = Path("submissions")
DEMO = "demo"
DEMO_DATA = Path("data") / DEMO
OUTLIER_POLICIES = ("keep", "drop")
INTERRUPTED = 130
# What a flag means when it is not given; `invoke.yaml` may say otherwise under `catsdogs:`, see the README.
DEFAULTS = {
    "data": "data/dogs-vs-cats",
    "features": "features",
    "backbones": "ResNet50,InceptionV3,Xception",
    "weights_dir": "",
    "engine": "auto",
    "precision": "auto",
    "batch_size": "",
    "dtype": "float32",
    "head": "dropout-sigmoid",
    "folds": "5",
    "seed": "2018",
    "outliers": "keep",
}
HELP = {
    "data": "the photographs: a folder or zip with train/ and test/, a folder per class, or a CSV of names and labels",
    "backbones": "networks, separated by commas; `lite` is short for the three embedded EfficientNet-Lites",
    "weights_dir": "a folder of weights files to look in first (or the environment's CATSDOGS_WEIGHTS)",
    "features": "the folder of feature files",
    "name": "the run: a folder of submissions/",
}


def stage(*names: str, **flags: str) -> Callable[[Callable[..., None]], Any]:
    """An invoke task with the help texts of its flags; a user's mistake ends it with one line and an exit code."""

    def decorate(body: Callable[..., None]) -> Any:
        @functools.wraps(body)
        def guarded(c: Context, **arguments: Any) -> None:
            try:
                body(c, **arguments)
            except CatsdogsError as error:
                raise Exit(f"{_program()} {body.__name__}: {error}", code=error.exit_code) from None
            except KeyboardInterrupt:
                raise Exit("\nStopped. What is finished is kept: run the same command to go on.", INTERRUPTED) from None

        texts = {name: HELP[name] for name in names} | flags
        return task(auto_shortflags=False, help={name.replace("_", "-"): text for name, text in texts.items()})(guarded)

    return decorate


@stage("data", source="kaggle (an account and its rules accepted) or microsoft (the same photographs, no account)")
def fetch(c: Context, source: str = "kaggle", data: str | None = None) -> None:
    """Download the competition's photographs."""
    from catsdogs.fetch import fetch as fetch_photographs

    summary = fetch_photographs(source, Path(_setting(c, "data", data)))
    counts = ", ".join(f"{count:,} in {folder}" for folder, count in summary.counts.items())
    _say(f"{summary.data}: {counts}" + (f"; already there: {', '.join(summary.skipped)}" if summary.skipped else ""))
    _next(f"features --data {summary.data}")


@stage(
    "data",
    "backbones",
    "weights_dir",
    engine="auto or keras",
    precision="auto, float32 or bfloat16",
    batch_size="photographs in a batch",
    dtype="how vectors are stored: float32 or float16",
    out="the folder of feature files",
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
    from catsdogs.dataset import scan

    settings = _extraction_settings(c, weights_dir, engine, precision, batch_size, dtype)
    names = _backbones(c, backbones)
    folder = Path(_setting(c, "features", out))
    dataset = scan(Path(_setting(c, "data", data)))
    _extract(dataset, names, folder, settings, _number("limit", limit) if limit else None)
    flags = _flags(c, backbones=",".join(names), features=str(folder))
    _next(f"outliers{flags}", f"train{flags}")


@stage(
    "backbones",
    "features",
    "data",
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
    from catsdogs import contact_sheet
    from catsdogs import outliers as detector

    folder = Path(_setting(c, "features", features))
    files = _read_features(c, folder, backbones, data)
    suspects = detector.find(files, _number("k", k), _number("votes", votes), quartiles)
    _say(detector.summary(suspects, files))
    detector.write_csv(folder / detector.TABLE, suspects)
    _wrote(folder / detector.TABLE)
    if all:
        detector.write_everything(folder / detector.EVERYTHING, files, _number("k", k))
        _wrote(folder / detector.EVERYTHING)
    dataset = _dataset_of(files, data)
    if dataset:
        contact_sheet.write(folder / contact_sheet.NAME, suspects, dataset)
        _wrote(folder / contact_sheet.NAME)
    else:
        _say(f"No contact sheet: the photographs are not at {files[0].source}; give --data")
    _say(f"To decide yourself, write rows id,decision,label,when (keep or drop) into {folder / 'decisions.csv'}")
    _next(f"train --outliers drop{_flags(c, backbones=backbones, features=str(folder))}")


@stage(
    "name",
    "backbones",
    "features",
    "data",
    head="which small model to train",
    folds="folds of the cross-validation",
    seed="of the folds and the head",
    outliers="keep all train rows, or drop those that decisions.csv or all networks call no pet",
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
    from catsdogs import decisions, training

    folder = Path(_setting(c, "features", features))
    head = _setting(c, "head", head)
    policy = _setting(c, "outliers", outliers)
    if policy not in OUTLIER_POLICIES:
        raise UnknownNameError("--outliers policy", policy, list(OUTLIER_POLICIES))
    files = _read_features(c, folder, backbones, data)
    name = name or head
    drops = decisions.rows_to_drop(folder, files) if policy == "drop" else None
    if drops:
        _say(drops.sentence)
    dataset = _dataset_of(files, data)
    run = training.train(
        files,
        head=head,
        folds=_number("folds", _setting(c, "folds", folds)),
        seed=_number("seed", _setting(c, "seed", seed)),
        submissions=SUBMISSIONS,
        name=name,
        drop=drops.ids if drops else frozenset(),
        sample_submission=dataset.sample_submission if dataset else None,
        command=" ".join(["catsdogs", *sys.argv[1:]]),
        force=force,
    )
    _say(run)
    _next(f"submit --name {name}", f"predict --name {name} --data FOLDER", "status")


@stage("name", "data", "weights_dir", "features", out="the CSV to write")
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
    settings = _extraction_settings(c, weights_dir)
    cache = Path(_setting(c, "features", features)) / ".predict"
    predicted = prediction.predict(SUBMISSIONS / name, Path(data), target, cache, settings.weights_dir)
    for photograph in predicted.unreadable:
        _say(f"unreadable, given the class prior: {photograph.id} ({photograph.reason})")
    _wrote(target, f"{predicted.rows:,} photographs, the probability of {predicted.columns}")


@stage("name", truth="a CSV of id and label (0, 1 or the class)")
def grade(c: Context, name: str, truth: str) -> None:
    """Log loss of a run's CSV against a truth CSV, beside Kaggle's medal lines."""
    from catsdogs import submission

    graded = submission.grade(SUBMISSIONS / name / "submission.csv", Path(truth))
    _say(graded)
    _say(submission.standing(graded.log_loss))


@stage("name", message="shown beside the submission on Kaggle")
def submit(c: Context, name: str, message: str | None = None) -> None:
    """Check a run's CSV, upload it to Kaggle and show the answer."""
    from catsdogs import kaggle, submission, training

    run = training.load(SUBMISSIONS / name)
    path = SUBMISSIONS / name / "submission.csv"
    rows = submission.check(path, run.sample_submission, run.classes)
    _say(f"{path}: {rows:,} rows, in order")
    answer = kaggle.upload(path, message or f"{name}: {run.score}")
    scores = [("public", answer.public_score), ("private", answer.private_score)]
    shown = ", ".join(f"{name} score {score:.5f}" for name, score in scores if score is not None)
    _say(f"Kaggle: {' '.join(filter(None, [answer.status, shown, answer.detail]))}, see {answer.url}")


@stage("features")
def status(c: Context, features: str | None = None) -> None:
    """What is cached, for which networks and how many rows, and which runs there are with their scores."""
    from catsdogs import store, training

    folder = Path(_setting(c, "features", features))
    for name in store.names(folder):
        try:
            _say(_describe(store.read(store.path_of(folder, name))))
        except StoreError as error:
            _say(f"{name}: {error}")
    for run in training.list_runs(SUBMISSIONS):
        _say(run)
    _next("features", "train")


@stage(data="a folder of your own photographs to make the tour with")
def demo(c: Context, data: str | None = None) -> None:
    """The whole job in three minutes on drawn cats and dogs: features, outliers, training, grading."""
    from catsdogs.dataset import scan

    root = Path(data) if data else DEMO_DATA
    if not data:
        from catsdogs.drawings import draw_dataset

        counts = draw_dataset(root)
        _say(f"{root}: {counts['train']} + {counts['test']} pictures, drawn by this program: these are no photographs")
    name = f"{DEMO}-{root.resolve().name}" if data else DEMO
    folder = Path(_setting(c, "features", None)) / name
    names = ["EfficientNetLite0", "EfficientNetLite1", "EfficientNetLite2"]
    flags = {"backbones": ",".join(names), "features": str(folder)}
    _heading("1 of 4", "features: three pretrained networks, one pass")
    _extract(scan(root), names, folder, _extraction_settings(c))
    _heading("2 of 4", "outliers: what shows no pet")
    outliers(c, **flags)
    _heading("3 of 4", "train: dropout and a sigmoid on the joined vectors")
    train(c, name=name, force=True, **flags)
    _heading("4 of 4", "grade: the CSV against the truth")
    truth = root / "truth.csv"
    if truth.exists():
        grade(c, name=name, truth=str(truth))
    else:
        _say(f"{root} has no truth.csv to grade against; the out-of-fold score above is the estimate")
    _wrote(SUBMISSIONS / name / "submission.csv")
    _say("\nNow with real photographs:")
    _next("fetch --source microsoft", "features --backbones lite", "train --backbones lite")


@stage(options="passed on to pytest")
def test(c: Context, options: str = "") -> None:
    """Run the tests."""
    _run(["pytest", *options.split()])


@stage()
def lint(c: Context) -> None:
    """Check style, format and types."""
    for command in (["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]):
        _run(command)


@stage("features")
def clean(c: Context, features: str | None = None) -> None:
    """Remove unfinished shards, cached predictions and the demo; your feature files and runs stay."""
    import shutil

    folder = Path(_setting(c, "features", features))
    demo_folders = [DEMO_DATA, folder / DEMO, SUBMISSIONS / DEMO]
    leftovers = [path for path in (*folder.rglob(".shards"), folder / ".predict", *demo_folders) if path.exists()]
    for leftover in leftovers:
        shutil.rmtree(leftover)
        _say(f"removed {leftover}")
    if not leftovers:
        _say("nothing to remove")


def _setting(c: Context, name: str, given: str | None) -> str:
    """A flag's value: as given, else from invoke's configuration, else the default."""
    configured = c.config.get("catsdogs", {})
    unknown = sorted(set(configured) - set(DEFAULTS))
    if unknown:
        raise UnknownNameError("setting under `catsdogs:` in invoke.yaml", unknown[0], sorted(DEFAULTS))
    return str(given if given is not None else configured.get(name, DEFAULTS[name]))


def _number(flag: str, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise UsageError(f"--{flag} {value!r} is not a number", f"Give --{flag} a whole number") from None


def _backbones(c: Context, given: str | None) -> list[str]:
    from catsdogs.backbones import expand

    return expand(_setting(c, "backbones", given))


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
        batch_size=_number("batch-size", size) if size else None,
        dtype=_setting(c, "dtype", dtype),
    )


def _extract(
    dataset: "Dataset", names: Sequence[str], folder: Path, settings: "Settings", limit: int | None = None
) -> "Summary":
    from catsdogs.extract import extract

    _say(
        f"{dataset.root}: {len(dataset.of('train')):,} train, {len(dataset.of('test')):,} test photographs, "
        f"classes {', '.join(dataset.classes)}"
    )
    summary = extract(dataset, names, folder, settings, limit)
    for photograph in summary.unreadable:
        _say(f"unreadable, left out: {photograph.split}/{photograph.id} ({photograph.reason})")
    rows = " + ".join(f"{count:,} {split}" for split, count in summary.rows.items())
    for path, computed in zip(summary.paths, summary.computed.values(), strict=True):
        _wrote(path, f"{rows} rows, {computed:,} of them computed now" if computed else f"{rows} rows, up to date")
    if summary.unreadable:
        _say(f"{len(summary.unreadable):,} photographs could not be read")
    return summary


def _read_features(c: Context, folder: Path, backbones: str | None, data: str | None) -> "list[Features]":
    from catsdogs import store
    from catsdogs.dataset import scan

    names = _backbones(c, backbones)
    files = []
    for name in names:
        path = store.path_of(folder, name)
        old = path.exists() and store.is_gap_file(path)
        files.append(store.read(path, scan(Path(_setting(c, "data", data))) if old else None))
    return files


def _dataset_of(files: "Sequence[Features]", data: str | None) -> "Dataset | None":
    """The photographs that the features were made from, if they are still there; a folder given by hand must be."""
    from catsdogs.dataset import scan

    try:
        return scan(Path(data or files[0].source))
    except DatasetError:
        if data:
            raise
        return None


def _describe(file: "Features") -> str:
    recipe = file.recipe
    rows = " + ".join(f"{len(ids):,} {split}" for split, ids in file.ids.items())
    unreadable = f", {len(file.unreadable):,} unreadable" if file.unreadable else ""
    return (
        f"{file.path}: {rows} rows x {file.width}{unreadable}, {recipe.engine} {recipe.precision}, "
        f"weights {recipe.weights[:12]}, from {file.source}"
    )


def _run(command: list[str]) -> None:
    completed = subprocess.run([sys.executable, "-m", *command], check=False)  # noqa: S603 - our own tools
    if completed.returncode:
        raise Exit(code=completed.returncode)


def _program() -> str:
    """What the user typed: `invoke`, or the installed `catsdogs`."""
    return "invoke" if Path(sys.argv[0]).stem in ("invoke", "inv") else "catsdogs"


def _flags(c: Context, **chosen: str | None) -> str:
    """The flags that the next command needs to find the same files, without those that are the default."""
    return "".join(f" --{name} {value}" for name, value in chosen.items() if value and value != _setting(c, name, None))


def _say(line: object) -> None:
    print(line, flush=True)


def _heading(number: str, text: str) -> None:
    _say(f"\n[{number}] {text}")


def _wrote(path: Path, what: str = "") -> None:
    _say(f"wrote {path}" + (f"  ({what})" if what else ""))


def _next(*commands: str) -> None:
    _say("next:  " + "\n       ".join(f"{_program()} {command}" for command in commands))


collection = Collection(fetch, features, outliers, train, predict, grade, submit, status, demo, test, lint, clean)
collection.configure({"catsdogs": DEFAULTS})


class _Program(Program):
    """The console command reads `invoke.yaml` of the folder it is called in, and calls wrong usage 2."""

    def parse_collection(self) -> None:
        super().parse_collection()
        self.config.set_project_location(Path.cwd())
        self.config.load_project()

    def parse_tasks(self) -> None:
        try:
            super().parse_tasks()
        except ParseError as error:
            raise Exit(f"{error}", code=UsageError.exit_code) from None


def main() -> None:
    """The console command `catsdogs`."""
    _Program(name="catsdogs", binary="catsdogs", namespace=collection, version=__version__).run()
