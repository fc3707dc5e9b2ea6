"""Finetuning on the command line: networks are trained, taught, tried and looked at; each is then a backbone."""

import contextlib
from typing import TYPE_CHECKING, Any

from catsdogs.commands.console import command_line, next_steps, say, say_unreadable, task, write, wrote
from catsdogs.commands.flags import as_flags, read_run_and_files, scan_dataset, weights_folder
from catsdogs.commands.settings import SUBMISSIONS, Flags, optional_number, parse_number, whole_number
from catsdogs.errors import CatsdogsError, UsageError, in_short
from catsdogs.files import storage
from catsdogs.front.notes import UNREADABLE_FILE
from catsdogs.front.places import check_writable
from catsdogs.networks.quiet import importing_keras

if TYPE_CHECKING:
    from catsdogs.features.feature_file import Features
    from catsdogs.finetuning.hyperparameters import Hyperparameters
    from catsdogs.finetuning.lesson import Lesson
    from catsdogs.networks.trained import Card
    from catsdogs.photographs.dataset import Dataset

NETWORK = "a network of the table, hub:PRESET, or one that starts at random: four-conv, squeezenet, siamese-cnn"
NAMING = {
    "name": "what the network will be called, and its folder in networks/",
    "tricks": "names of docs/tricks.md, separated by commas; none if not given",
    "force": "replace a network of the same name",
}
TRAINING = {
    "unfreeze": "what of a pretrained network learns: last-block, all or none",
    "seed": "of folds, order, augmentation and random weights",
    "size": "side of the square input, in pixels; the network's own if not given",
    "epochs": "how often the photographs are gone through; 5 if not given, 50 from scratch",
    "batch_size": "photographs to a step; 32 if not given",
    "rate": "learning rate before warm-up, scaling and decay; 0.00005 if not given, 0.0003 from scratch",
}


@task(
    f"backbone name tricks data classes holdout folds weights_dir devices force {' '.join(TRAINING)}",
    backbone=NETWORK,
    folds="members that each leave a fold out, so that the vectors are fair to heads; 1 trains one network and no more",
    **NAMING,
    **TRAINING,
)
def finetune(flags: Flags, backbone: str, devices: str = "one", force: bool = False) -> None:
    """Train a network on the photographs themselves and keep it in networks/<name>/, going on where it stopped."""
    name = flags.name or f"my-{_plain(backbone)}"
    _check_name(name, force)
    plan = _plan(flags, backbone, flags.tricks)
    count = flags.number("folds")
    if count < 1:
        raise UsageError(f"{count} folds", "Give --folds a number of 2 or more, or 1 for one network and no more")
    lesson = _read_lesson(flags, scan_dataset(flags), count, plan.seed)
    _say_finetuned(flags, lesson, _train(flags, lesson, plan, name))


@task(
    f"teacher student name tricks data features weights_dir devices force {' '.join(TRAINING)}",
    teacher="the run whose out-of-fold probabilities are taught",
    student="the network that learns them, such as EfficientNetLite0 or MobileNetV2",
    features="the folder of the teacher's feature files",
    **NAMING,
    **TRAINING,
)
def distill(
    flags: Flags, teacher: str, student: str = "EfficientNetLite0", devices: str = "one", force: bool = False
) -> None:
    """Teach one small network what a whole ensemble says of photographs it never saw; it then answers alone."""
    from catsdogs.photographs import label_texts
    from catsdogs.runs import out_of_fold, run_card
    from catsdogs.scoring import calibration, grades

    name = flags.name or f"{_plain(student)}-of-{teacher}"
    _check_name(name, force)
    plan = _plan(flags, student, flags.tricks)
    if plan.learns_from_pairs:
        raise UsageError(
            f"{student} learns from pairs, and a teacher speaks of single photographs", "Give --student another network"
        )
    run, files = read_run_and_files(flags, teacher)
    label_texts.refuse_several(run.task, "A student")
    files = run_card.rows_of(run, files)
    raw, fold = out_of_fold.read_out_of_fold(SUBMISSIONS / teacher, run, files[0])
    probabilities = calibration.cross_fitted(raw, files[0].labels, fold)
    dataset = scan_dataset(flags.but(data=flags.data or run.source, classes=",".join(run.classes)))
    with importing_keras():
        from catsdogs.finetuning.distillation import lesson_of_teacher
        from catsdogs.finetuning.lesson import read_lesson

    lesson = read_lesson(dataset, 1, plan.seed, files)
    lesson, soft = lesson_of_teacher(lesson, files[0], probabilities, fold)
    card = _train(flags, lesson, plan, name, teacher=teacher, soft_labels=soft)
    say(f"the teacher: {grades.score(soft, lesson.labels, 'out of fold, the same photographs and folds')}")
    _say_finetuned(flags, lesson, card)


@task(
    f"backbone tricks data classes folds weights_dir {' '.join(TRAINING)}",
    backbone=NETWORK,
    tricks="the tricks to try one by one, names of docs/tricks.md separated by commas; all that apply if not given",
    **TRAINING,
)
def ablate(flags: Flags, backbone: str = "four-conv", folds: str = "3") -> None:
    """Try tricks one by one over the same base, on the same folds: a table with standard errors."""
    plan = _plan(flags, backbone, None)
    count = whole_number("folds", folds)
    if count < 2:
        raise UsageError(f"{count} folds", "Give --folds a number of 2 or more")
    with importing_keras():
        from catsdogs.finetuning import ablation, hyperparameters
        from catsdogs.networks.trained import FOLDER

    chosen = hyperparameters.applicable_tricks(backbone, flags.tricks)
    check_writable(FOLDER)
    lesson = _read_lesson(flags, scan_dataset(flags), count, plan.seed)
    entries = ablation.ablate(lesson, plan, chosen, weights_folder(flags))
    say(ablation.format_ablation(entries))
    write(FOLDER / ablation.ABLATION_FILE, ablation.write_ablation, entries)
    counts = f"{plan.epochs} epochs, {len(lesson.train):,} photographs, {folds} folds"
    title = f"{backbone}, {plan.input_size} pixels, {counts}"
    write(FOLDER / ablation.ABLATION_CHART_FILE, ablation.draw_ablation, entries, title)
    better = [entry.trick for entry in entries if entry.verdict == "better"]
    next_steps(f"finetune --backbone {backbone}" + (f" --tricks {','.join(better)}" if better else ""))


@task(
    "name layer data",
    name="the trained network: a folder of networks/",
    layer="the convolution to show; the first if not given",
    data="a photograph to show it on; one that the network learnt from if not given",
)
def filters(flags: Flags, name: str) -> None:
    """Draw a layer's filters and what they respond to, and how the first layer's came about as an animated GIF."""
    from catsdogs.networks import trained
    from catsdogs.photographs import dataset, images

    folder = trained.FOLDER / name
    card = trained.read_card(folder)
    scan = dataset.scan_unlabelled if flags.data else dataset.scan
    place = scan(storage.place(flags.data or card.source))
    picture = images.square(place.read(place.photographs[0]), card.input_size)
    with importing_keras():
        from catsdogs.finetuning import film
        from catsdogs.finetuning import filters as pictures
        from catsdogs.networks import build

    network = build.read_path(folder, trained.ALL)
    layers = list(pictures.convolutions(network))
    if not layers:
        raise UsageError(f"{card.base} has no convolution that stands alone", "Give --name another network")
    shown = flags.layer or layers[0]
    write(folder / f"filters-{shown}.png", pictures.draw_filters, network, shown, picture)
    kernels = folder / trained.KERNELS_FILE
    if kernels.exists():
        film.animate_filters(folder / "filters.gif", *film.read_kernels(kernels))
        wrote(folder / "filters.gif", "open it in a browser")
    else:
        say(f"No GIF: the first convolution of {card.base} did not learn")
    others = [other for other in layers if other != shown]
    next_steps(*(f"filters --name {name} --layer {other}" for other in others[-1:]))


def _plain(network: str) -> str:
    """What a network's name adds to that of a folder: of KerasHub's the preset's name."""
    from catsdogs.networks.choice import file_name
    from catsdogs.networks.table import HUB

    return file_name(network).removeprefix(f"{HUB}-")


def _check_name(name: str, force: bool) -> None:
    """Refuse a name that is taken, or a folder that cannot be written, before anything is read."""
    from catsdogs.networks import trained

    trained.check_free(name, force)
    check_writable(trained.FOLDER)


def _plan(flags: Flags, base: str, tricks: str | None) -> "Hyperparameters":
    """What to train, from the flags of `TRAINING`; refuses devices and weights before all photographs are read.

    The folder of weights may not be there, or no network may need it.
    """
    with importing_keras():
        from catsdogs.finetuning import hyperparameters
    from catsdogs.networks import choice, weights
    from catsdogs.networks.devices import check_batch

    batch_size, weights_dir = flags.batch_size, flags.weights_dir
    rate = parse_number(float, "rate", flags.rate, "Give it one such as 0.0003") if flags.rate else None
    plan = hyperparameters.complete_hyperparameters(
        base,
        tricks or "",
        flags.unfreeze,
        optional_number("size", flags.size),
        optional_number("epochs", flags.epochs),
        whole_number("batch-size", batch_size) if batch_size else hyperparameters.DEFAULT_BATCH_SIZE,
        rate,
        flags.number("seed"),
        weights_folder(flags),
    )
    check_batch(plan.batch_size, flags.devices or "one")
    if weights_dir and plan.from_scratch:
        raise UsageError(
            f"{plan.base} starts from random weights, so --weights-dir {weights_dir} would do nothing", "Leave it out"
        )
    if weights_dir:
        weights.find_file(choice.to_train(plan.base, weights_dir, plan.input_size), weights_dir)
    return plan


def _read_lesson(flags: Flags, dataset: "Dataset", folds: int, seed: int) -> "Lesson":
    """The photographs that are learnt from, in folds; says which copies share one, and which classes are left out."""
    with importing_keras():
        from catsdogs.finetuning.lesson import read_lesson

    lesson = read_lesson(dataset, folds, seed, near_copy_files(flags, dataset))
    left_out = [name for name in dataset.classes if name not in lesson.dataset.classes]
    if left_out:
        say(f"left out, for no photograph shows them: {len(left_out):,} classes ({in_short(left_out)})")
    return lesson


def near_copy_files(flags: Flags, dataset: "Dataset") -> "list[Features]":
    """The feature files that tell near-copies among these photographs, if there are any; says which."""
    from catsdogs.cleaning import duplicates
    from catsdogs.features import feature_file, joining
    from catsdogs.networks.choice import is_pretrained

    folder, ids = flags.place("features"), {row.id for row in dataset.of("train")}
    files: list[Features] = []
    for name in filter(is_pretrained, feature_file.names(folder)):
        with contextlib.suppress(CatsdogsError):  # whatever ails it, the photographs can be learnt from
            file = feature_file.read_features(feature_file.path_of(folder, name))
            joining.check_joinable([*files[:1], file])
            if not duplicates.why_not_near([file]) and not ids.isdisjoint(file.ids["train"]):
                files.append(file)
    near = f", and near-copies as {', '.join(file.name for file in files)} of {folder} see them" if files else ""
    say(f"Copies of a photograph share a fold: the same bytes{near}")
    return files


def _train(flags: Flags, lesson: "Lesson", plan: "Hyperparameters", name: str, **teaching: Any) -> "Card":
    with importing_keras():
        from catsdogs.finetuning import finetune as training

    how = {"device_choice": flags.devices or "one", "weights_dir": weights_folder(flags), "force": flags.force}
    return training.finetune(lesson, plan, name=name, command=command_line(), **how, **teaching)


def _say_finetuned(flags: Flags, lesson: "Lesson", card: "Card") -> None:
    """What was trained, how good it is, and what to do with it."""
    from catsdogs.networks.trained import FOLDER

    name, folder = card.name, FOLDER / card.name
    say_unreadable(lesson.unreadable, folder / UNREADABLE_FILE)
    for score in card.scores:
        say(score)
    for path in sorted(folder.iterdir()):
        if not path.name.startswith("."):
            wrote(path)
    use = [f"features --backbones {name}{as_flags(flags, data=flags.data)}", f"train --backbones lite,{name}"]
    next_steps(*(use if card.folds > 1 else []), f"filters --name {name}")
