"""Tasks for who trains networks of their own: each is then a backbone like any other."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from invoke import Context

from catsdogs.commands import flags as flags_module
from catsdogs.commands import settings
from catsdogs.commands.console import next_steps, say, stage, wrote
from catsdogs.commands.flags import CLASSES, DATA, DEVICES, HOLDOUT, SUBMISSIONS, WEIGHTS_DIR
from catsdogs.errors import UsageError, in_short
from catsdogs.files import storage
from catsdogs.networks.quiet import importing_keras

if TYPE_CHECKING:
    from catsdogs.finetuning.finetune import FinetunedNetwork
    from catsdogs.finetuning.hyperparameters import Hyperparameters
    from catsdogs.finetuning.lesson import Lesson
    from catsdogs.photographs.dataset import Dataset

NAME = "what the network will be called, and its folder in networks/"
BASE = "a network of the table, or four-conv, squeezenet or siamese-cnn, which start from random weights"
TRICKS = "names of docs/tricks.md, separated by commas; none if not given"
FOLDS = "members that each leave a fold out, so that the vectors are fair to heads; 1 trains one network and no more"
TRAINING = {
    "unfreeze": "what of a pretrained network learns: last-block, all or none",
    "seed": "of folds, order, augmentation and random weights",
    "size": "side of the square input, in pixels; the network's own if not given",
    "epochs": "how often the photographs are gone through; 5 if not given, 50 from scratch",
    "batch_size": "photographs to a step; 32 if not given",
    "rate": "learning rate before warm-up, scaling and decay; 0.00005 if not given, 0.0003 from scratch",
    "weights_dir": WEIGHTS_DIR,
}
FORCE = "replace a network of the same name"
_LEAST_FOLDS = 2


@stage(
    backbone=BASE,
    name=NAME,
    tricks=TRICKS,
    data=DATA,
    classes=CLASSES,
    holdout=HOLDOUT,
    folds=FOLDS,
    **TRAINING,
    devices=DEVICES,
    force=FORCE,
)
def finetune(
    c: Context,
    backbone: str,
    name: str | None = None,
    unfreeze: str | None = None,
    tricks: str = "",
    data: str | None = None,
    classes: str | None = None,
    holdout: str | None = None,
    folds: str | None = None,
    seed: str | None = None,
    size: str | None = None,
    epochs: str | None = None,
    batch_size: str | None = None,
    rate: str | None = None,
    weights_dir: str | None = None,
    devices: str = "one",
    force: bool = False,
) -> None:
    """Train a network on the photographs themselves and keep it in networks/<name>/, going on where it stopped."""
    name = name or f"my-{backbone}"
    _check_target(name, force)
    plan = _plan(c, backbone, tricks, unfreeze, size, epochs, batch_size, rate, seed)
    _check_plan(plan, weights_dir, devices)
    count = flags_module.number(c, "folds", folds)
    if count < 1:
        raise UsageError(f"{count} folds", "Give --folds a number of 2 or more, or 1 for one network and no more")
    dataset = flags_module.scan(c, data, classes, holdout)
    with importing_keras():
        from catsdogs.finetuning.finetune import finetune as train
        from catsdogs.finetuning.lesson import read_lesson

    taught = read_lesson(dataset, count, plan.seed, flags_module.files_of(c, dataset))
    _say_left_out(dataset, taught)
    made = train(
        taught,
        plan,
        name=name,
        command=_command(),
        weights_dir=flags_module.extraction_settings(c, weights_dir).weights_dir,
        device_choice=devices,
        force=force,
    )
    _show(c, made, data)


@stage(
    teacher="the run whose out-of-fold probabilities are taught",
    student="the network that learns them, such as EfficientNetLite0 or MobileNetV2",
    name=NAME,
    tricks=TRICKS,
    data=DATA,
    features="the folder of the teacher's feature files",
    **TRAINING,
    devices=DEVICES,
    force=FORCE,
)
def distill(
    c: Context,
    teacher: str,
    student: str = "EfficientNetLite0",
    name: str | None = None,
    unfreeze: str | None = None,
    tricks: str = "",
    data: str | None = None,
    features: str | None = None,
    seed: str | None = None,
    size: str | None = None,
    epochs: str | None = None,
    batch_size: str | None = None,
    rate: str | None = None,
    weights_dir: str | None = None,
    devices: str = "one",
    force: bool = False,
) -> None:
    """Teach one small network what a whole ensemble says of photographs it never saw; it then answers alone."""
    from catsdogs.runs import out_of_fold, run_card
    from catsdogs.scoring import calibration, grades

    name = name or f"{student}-of-{teacher}"
    _check_target(name, force)
    plan = _plan(c, student, tricks, unfreeze, size, epochs, batch_size, rate, seed)
    _check_plan(plan, weights_dir, devices)
    if plan.learns_from_pairs:
        raise UsageError(
            f"{student} learns from pairs, and a teacher speaks of single photographs", "Give --student another network"
        )
    run, files = flags_module.run_and_files(c, teacher, features, data)
    run_card.check_repeatable(run, files)
    files = run_card.rows_of(run, files)
    raw, fold = out_of_fold.read_out_of_fold(SUBMISSIONS / teacher, run, files[0])
    probabilities = calibration.cross_fitted(raw, files[0].labels, fold)
    dataset = flags_module.scan(c, data or run.source, ",".join(run.classes), None)
    with importing_keras():
        from catsdogs.finetuning.distillation import lesson_of_teacher
        from catsdogs.finetuning.finetune import finetune as train
        from catsdogs.finetuning.lesson import read_lesson

    taught, soft = lesson_of_teacher(read_lesson(dataset, 1, plan.seed, files), files[0], probabilities, fold)
    made = train(
        taught,
        plan,
        name=name,
        command=_command(),
        weights_dir=flags_module.extraction_settings(c, weights_dir).weights_dir,
        device_choice=devices,
        force=force,
        teacher=teacher,
        soft_labels=soft,
    )
    say(f"the teacher: {grades.score(soft, taught.labels, 'out of fold, the same photographs and folds')}")
    _show(c, made, data)


@stage(
    backbone=BASE,
    tricks="the tricks to try one by one, names of docs/tricks.md separated by commas; all that apply if not given",
    data=DATA,
    classes=CLASSES,
    folds="folds of the cross-validation",
    **TRAINING,
)
def ablate(
    c: Context,
    backbone: str = "four-conv",
    tricks: str | None = None,
    unfreeze: str | None = None,
    data: str | None = None,
    classes: str | None = None,
    folds: str = "3",
    seed: str | None = None,
    size: str | None = None,
    epochs: str | None = None,
    batch_size: str | None = None,
    rate: str | None = None,
    weights_dir: str | None = None,
) -> None:
    """Try tricks one by one over the same base, on the same folds: a table with standard errors."""
    plan = _plan(c, backbone, "", unfreeze, size, epochs, batch_size, rate, seed)
    _check_plan(plan, weights_dir)
    count = settings.number("folds", folds)
    if count < _LEAST_FOLDS:
        raise UsageError(f"{count} folds", f"Give --folds a number of {_LEAST_FOLDS} or more")
    with importing_keras():
        from catsdogs.finetuning import ablation, hyperparameters
        from catsdogs.finetuning.lesson import read_lesson
        from catsdogs.networks import trained

    chosen = hyperparameters.applicable_tricks(backbone, tricks)
    flags_module.check_writable(trained.FOLDER)
    dataset = flags_module.scan(c, data, classes, None)
    taught = read_lesson(dataset, count, plan.seed, flags_module.files_of(c, dataset))
    _say_left_out(dataset, taught)
    weights = flags_module.extraction_settings(c, weights_dir).weights_dir
    found = ablation.ablate(taught, plan, chosen, weights)
    say(ablation.format_table(found))
    ablation.write_ablation(trained.FOLDER / ablation.TABLE_FILE, found)
    wrote(trained.FOLDER / ablation.TABLE_FILE)
    title = (
        f"{backbone}, {plan.input_size} pixels, {plan.epochs} epochs, {len(taught.train):,} photographs, {folds} folds"
    )
    ablation.draw_ablation(trained.FOLDER / ablation.CHART_FILE, found, title)
    wrote(trained.FOLDER / ablation.CHART_FILE)
    better = [entry.trick for entry in found if entry.verdict == "better"]
    next_steps(f"finetune --backbone {backbone}" + (f" --tricks {','.join(better)}" if better else ""))


@stage(
    name="the trained network: a folder of networks/",
    layer="the convolution to show; the first if not given",
    data="a photograph to show it on; one that the network learnt from if not given",
)
def filters(c: Context, name: str, layer: str | None = None, data: str | None = None) -> None:
    """Draw a layer's filters and what they respond to, and how the first layer's came about as an animated GIF."""
    from catsdogs.networks import trained
    from catsdogs.photographs import images

    folder = trained.FOLDER / name
    card = trained.read_card(folder)
    picture = images.load(_photograph(data, card.source), {card.input_size}).by_size[card.input_size]
    with importing_keras():
        from catsdogs.finetuning import film
        from catsdogs.finetuning import filters as pictures
        from catsdogs.networks import build

    network = build.read_path(folder, trained.ALL)
    shown = layer or pictures.convolutions(network)[0]
    path = folder / f"filters-{shown}.png"
    pictures.draw_filters(path, network, shown, picture, lambda pixels: pixels)
    wrote(path)
    kernels = folder / trained.KERNELS_FILE
    if kernels.exists():
        film.animate_filters(folder / "filters.gif", *film.read_kernels(kernels))
        wrote(folder / "filters.gif", "open it in a browser")
    else:
        say(f"No GIF: the first convolution of {card.base} did not learn")
    others = [other for other in pictures.convolutions(network) if other != shown]
    next_steps(*(f"filters --name {name} --layer {other}" for other in others[-1:]))


@stage(
    name="a run whose head is twin",
    left="a photograph",
    right="another photograph",
    weights_dir=WEIGHTS_DIR,
)
def verify(c: Context, name: str, left: str, right: str, weights_dir: str | None = None) -> None:
    """Say whether two photographs show the same class, which the run need never have seen."""
    from catsdogs.runs import run_card
    from catsdogs.twins import verification

    run = run_card.read_run(SUBMISSIONS / name)
    flags_module.refuse_idle_weights(weights_dir, run.backbones)
    flags_module.check_writable(SUBMISSIONS / name)
    weights = flags_module.extraction_settings(c, weights_dir).weights_dir
    verdict = verification.verify(SUBMISSIONS / name, Path(left), Path(right), weights)
    say(verdict)
    path = SUBMISSIONS / name / "verify.png"
    verification.draw_verdict(path, verdict)
    wrote(path)
    next_steps(f"fewshot --twin {name}")


@stage(
    backbones=flags_module.BACKBONES,
    new="the classes to hold out entirely, separated by commas; with --twin all if not given",
    shots="examples of each new class",
    repeats="how many times examples are drawn",
    twin="a run with the head twin, trained on other classes; without it twins learn from the classes that are not new",
    name="what the tables will be called in submissions/",
    seed="of the twins and the examples",
    features=flags_module.FEATURES,
    data=DATA,
)
def fewshot(
    c: Context,
    backbones: str | None = None,
    new: str = "",
    shots: str = "5",
    repeats: str = "20",
    twin: str | None = None,
    name: str = "fewshot",
    seed: str | None = None,
    features: str | None = None,
    data: str | None = None,
) -> None:
    """Classify photographs of new classes from a handful of examples each, beside nearest neighbours."""
    from catsdogs.twins import fewshot as few

    files = flags_module.read_features(c, flags_module.location(c, "features", features), backbones, data)
    flags_module.refuse_idle_data(data, files)
    flags_module.check_writable(SUBMISSIONS)
    classes = [label.strip() for label in new.split(",") if label.strip()]
    run, start = SUBMISSIONS / twin if twin else None, flags_module.number(c, "seed", seed)
    if Path(name).name != name:
        raise UsageError(f"The name {name!r} is not that of a file", "Give --name letters, digits and hyphens")
    counts = settings.number("shots", shots), settings.number("repeats", repeats)
    found = few.evaluate(files, classes, *counts, seed=start, run_folder=run)
    say(few.format_table(found))
    few.write_few_shot(SUBMISSIONS / f"{name}.csv", found)
    wrote(SUBMISSIONS / f"{name}.csv")
    if len(files[0].ids["test"]):
        path = SUBMISSIONS / f"{name}-test.csv"
        rows = few.classify(path, files, classes, seed=start, run_folder=run)
        wrote(path, f"the test rows, from all labelled examples; rows: {rows:,}")
    if not twin:
        next_steps(f"train --head twin --name twins{flags_module.flags(c, backbones=backbones)}")


def _photograph(data: str | None, source: str) -> bytes:
    """The bytes of a photograph given by hand, or of the first of a data set."""
    from catsdogs.photographs import dataset

    found = dataset.scan_unlabelled(storage.place(data)) if data else dataset.scan(storage.place(source))
    return found.read(found.photographs[0])


def _plan(
    c: Context,
    base: str,
    tricks: str,
    unfreeze: str | None,
    size: str | None,
    epochs: str | None,
    batch_size: str | None,
    rate: str | None,
    seed: str | None,
) -> "Hyperparameters":
    """What to train, from flags."""
    with importing_keras():
        from catsdogs.finetuning import hyperparameters

    try:
        step = float(rate) if rate else None
    except ValueError:
        raise UsageError(f"--rate {rate!r} is not a number", "Give it one such as 0.0003") from None
    return hyperparameters.complete_hyperparameters(
        base,
        tricks,
        unfreeze,
        settings.number("size", size) if size else None,
        settings.number("epochs", epochs) if epochs else None,
        settings.number("batch-size", batch_size) if batch_size else hyperparameters.DEFAULT_BATCH_SIZE,
        step,
        flags_module.number(c, "seed", seed),
    )


def _check_target(name: str, force: bool) -> None:
    """Refuse a name that is taken, or a folder that cannot be written, before anything is read."""
    from catsdogs.networks import trained

    trained.check_free(name, force)
    flags_module.check_writable(trained.FOLDER)


def _check_plan(plan: "Hyperparameters", weights_dir: str | None, device_choice: str = "one") -> None:
    """Refuse what would be refused after all photographs are read: devices, and a folder of weights.

    The folder may not be there, or nobody would look into it.
    """
    from catsdogs.networks import devices, weights
    from catsdogs.networks.table import BACKBONES

    devices.check_batch(plan.batch_size, device_choice)
    if weights_dir and plan.from_scratch:
        raise UsageError(
            f"{plan.base} starts from random weights, so --weights-dir {weights_dir} would do nothing", "Leave it out"
        )
    if weights_dir:
        weights.find(BACKBONES[plan.base], weights_dir)


def _say_left_out(dataset: "Dataset", taught: "Lesson") -> None:
    left_out = [name for name in dataset.classes if name not in taught.dataset.classes]
    if left_out:
        say(f"left out, for no photograph shows them: {len(left_out):,} classes ({in_short(left_out)})")


def _command() -> str:
    return " ".join(["catsdogs", *sys.argv[1:]])


def _show(c: Context, made: "FinetunedNetwork", data: str | None) -> None:
    """What was trained, how good it is, and what to do with it."""
    flags_module.say_unreadable(made.unreadable, made.folder / flags_module.UNREADABLE_FILE)
    for score in made.card.scores:
        say(score)
    for path in sorted(made.folder.iterdir()):
        if not path.name.startswith("."):
            wrote(path)
    name = made.card.name
    flags = flags_module.flags(c, data=data)
    use = [f"features --backbones {name}{flags}", f"train --backbones lite,{name}"] if made.card.folds > 1 else []
    next_steps(*use, f"filters --name {name}")
