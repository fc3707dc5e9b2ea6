"""The command line: one invoke task a stage. Heavy libraries are imported by the stage that needs them."""

import contextlib
import shlex
import shutil
from pathlib import Path

from invoke import Collection, Context

from catsdogs import chores
from catsdogs.commands import finetuning, pages, settings
from catsdogs.commands import flags as flags_module
from catsdogs.commands.console import Program, listed, next_steps, say, stage, wrote
from catsdogs.commands.flags import (
    BACKBONES,
    CLASSES,
    COMPETITION,
    DATA,
    DEVICES,
    FEATURES,
    HOLDOUT,
    NAME,
    SUBMISSIONS,
    WEIGHTS_DIR,
)
from catsdogs.errors import StoreError, SubmissionError, UnknownNameError, UsageError, WeightsError
from catsdogs.files import storage

DEMO = "demo"
DEMO_HEAD = "dropout-sigmoid"
DEMO_DATA = Path("data") / DEMO
PREDICTION_CACHE = ".predict"

HEAD = "a head of this program, a file my_head.py with the class MyHead, or a classifier of scikit-learn's"
FOLDS = "folds of the cross-validation"
SEED = "of the folds and the head"
OUTLIERS = "decided: obey decisions.csv; drop: the same, or without it leave out what no network takes for a pet; keep"
EASIER = (
    "These are held-out training photographs, easier than Kaggle's test set (a notebook that saw 0.0119 "
    "on such scored 0.0414 there): read no medal into this score."
)
FORCE = "replace a run of the same name"


@stage(data=DATA, source="kaggle (needs an account) or microsoft (the same labelled photographs, no account)")
def fetch(c: Context, source: str = "kaggle", data: str | None = None) -> None:
    """Download the competition's photographs."""
    from catsdogs.competition.fetch import fetch as fetch_photographs

    summary = fetch_photographs(source, flags_module.location(c, "data", data))
    counts = ", ".join(f"{count:,} in {folder}" for folder, count in summary.counts.items())
    say(f"{summary.data}: {counts}" + (f"; already there: {', '.join(summary.skipped)}" if summary.skipped else ""))
    next_steps(f"features{flags_module.flags(c, data=str(summary.data))}")


@stage(
    data=DATA,
    backbones=BACKBONES,
    weights_dir=WEIGHTS_DIR,
    engine="auto, keras or openvino; auto is that of the feature file, else Keras on a GPU and OpenVINO elsewhere",
    precision="auto, float32, bfloat16 or float16; auto is that of the feature file, else the fastest safe one",
    batch_size="photographs in a batch",
    dtype="how vectors are stored: float32 or float16",
    out=FEATURES,
    limit="read at most so many photographs, spread over the data set",
    classes=CLASSES,
    holdout=HOLDOUT,
    devices=DEVICES,
    cluster="compute on a Ray cluster: its address (host:6379); or auto: the one this machine is in, else this machine",
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
    classes: str | None = None,
    holdout: str | None = None,
    devices: str = "one",
    cluster: str | None = None,
) -> None:
    """Write features/<Backbone>.h5: run all networks over all photographs, in one pass, going on where it stopped."""
    how = flags_module.extraction_settings(c, weights_dir, engine, precision, batch_size, dtype, devices)
    names, folder = flags_module.networks(c, backbones), flags_module.location(c, "features", out)
    flags_module.refuse_idle_weights(weights_dir, names)
    flags_module.check_writable(folder)
    dataset = flags_module.scan(c, data, classes, holdout)
    count = settings.number("limit", limit) if limit else None
    with flags_module.schedule(c, cluster) as schedule:
        flags_module.extract_features(dataset, names, folder, how, count, schedule)
    flags = flags_module.flags(c, backbones=backbones, features=str(folder))
    next_steps(f"outliers{flags}", f"train{flags}")


@stage(
    backbones=BACKBONES,
    features=FEATURES,
    data=DATA,
    k="how many of a network's best labels to look through for a pet, 1 to 10; 10 if not given",
    votes="how many networks must see no pet; 1 if not given",
    quartiles="also list photographs far outside the quartiles of size, shape, contrast and colours",
    all="also write every photograph's labels to topk.csv",
)
def outliers(
    c: Context,
    backbones: str | None = None,
    k: str | None = None,
    votes: str | None = None,
    quartiles: bool = False,
    all: bool = False,
    features: str | None = None,
    data: str | None = None,
) -> None:
    """List photographs that show no pet, and other oddities, in outliers.csv and as a contact sheet."""
    from catsdogs.cleaning import decisions

    folder = flags_module.location(c, "features", features)
    files = flags_module.read_features(c, folder, backbones, data)
    flags_module.refuse_idle_votes(files, k, votes, quartiles)
    labels, least = settings.number("k", k or "10"), settings.number("votes", votes or "1")
    would_drop = flags_module.find_outliers(c, folder, files, data, labels, least, quartiles, all)
    say(
        f"On the page of `serve` one key keeps, drops or relabels each; train obeys {folder / decisions.DECISIONS_FILE}"
    )
    drop = " --outliers drop" if would_drop else ""
    found = flags_module.flags(c, features=str(folder))
    next_steps(f"serve{found}", f"train{drop}{flags_module.flags(c, backbones=backbones)}{found}")


@stage(
    name=NAME,
    backbones=BACKBONES,
    features=FEATURES,
    data=DATA,
    head=HEAD,
    folds=FOLDS,
    seed=SEED,
    outliers=OUTLIERS,
    competition=COMPETITION,
    repeat="a run to repeat exactly, under the new name; its run.json says how",
    force=FORCE,
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
    competition: str | None = None,
    repeat: str | None = None,
    force: bool = False,
) -> None:
    """Cross-validate a head on cached features and write submissions/<name>/."""
    if repeat:
        if any((backbones, head, folds, seed, outliers, competition)):
            raise UsageError("--repeat takes everything from the run", "Leave out the other flags, or --repeat")
        name = name or f"{repeat}-again"
        run = flags_module.repeat(c, repeat, name, features, data, force)
    else:
        head = flags_module.setting(c, "head", head)
        name = name or Path(head).stem
        flags_module.check_run_name(name, force)
        folder = flags_module.location(c, "features", features)
        files = flags_module.read_features(c, folder, backbones, data)
        plan = flags_module.plan(c, folder, files, head, outliers, folds, seed)
        run = flags_module.train(files, plan, name, data, force, competition)
    named = f"--name {shlex.quote(name)}"
    to = "" if run.competition else " --competition NAME"
    to_upload = [f"submit {named}{to}"] if run.test_rows and not run.protocol else []
    again = flags_module.flags(c, backbones=",".join(run.backbones), features=run.features)
    next_steps(f"report {named}", *to_upload, f"predict {named} --data FOLDER", f"compare{again}", "status")


@stage(
    iterable=("backbones",),
    heads="heads, separated by commas; all of this program's if not given",
    backbones="networks, separated by commas; give the flag again for another set of them",
    features=FEATURES,
    data=DATA,
    folds=FOLDS,
    repeats="how many times to cross-validate, on other folds each time",
    seed=SEED,
    outliers=OUTLIERS,
)
def compare(
    c: Context,
    heads: str | None = None,
    backbones: list[str] | None = None,
    folds: str | None = None,
    repeats: str = "1",
    seed: str | None = None,
    outliers: str | None = None,
    features: str | None = None,
    data: str | None = None,
) -> None:
    """Every head on every set of networks, on the same folds: their log losses, and which differences are noise."""
    from catsdogs.heads import names
    from catsdogs.scoring import comparison, comparison_chart

    folder = flags_module.location(c, "features", features)
    sets = [
        flags_module.read_features(c, folder, one, data) for one in backbones or [flags_module.setting(c, "backbones")]
    ]
    chosen = [head.strip() for head in heads.split(",")] if heads else names()
    count, start = flags_module.number(c, "folds", folds), flags_module.number(c, "seed", seed)
    everyone = [file for networks in sets for file in networks]
    flags_module.refuse_idle_data(data, everyone)
    flags_module.check_writable(SUBMISSIONS)
    corrections = flags_module.corrections(c, folder, everyone, outliers)
    found = comparison.compare(sets, chosen, count, settings.number("repeats", repeats), start, corrections)
    say(comparison.format_table(found))
    comparison.write_comparison(SUBMISSIONS / comparison.COMPARISON_FILE, found)
    wrote(SUBMISSIONS / comparison.COMPARISON_FILE)
    comparison_chart.draw_comparison(SUBMISSIONS / comparison.CHART_FILE, found)
    wrote(SUBMISSIONS / comparison.CHART_FILE)
    best = found.entries[0]
    flags = flags_module.flags(
        c,
        backbones=",".join(best.backbones),
        head=best.head,
        folds=folds,
        seed=seed,
        outliers=outliers,
        features=str(folder),
        data=data,
    )
    next_steps(f"train --name best{flags}")


@stage(
    protocol="how to hold labelled photographs out: mlebench",
    name=NAME,
    backbones=BACKBONES,
    features=FEATURES,
    data=DATA,
    head=HEAD,
    folds=FOLDS,
    seed=SEED,
    outliers=OUTLIERS,
    force=FORCE,
)
def replay(
    c: Context,
    protocol: str = "mlebench",
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
    """Hide a tenth of the labels as MLE-bench does, train on the rest from cached vectors, and grade."""
    from catsdogs.runs import run_card

    name = name or protocol
    flags_module.check_run_name(name, force)
    folder = flags_module.location(c, "features", features)
    files = flags_module.read_features(c, folder, backbones, data)
    plan = flags_module.plan(c, folder, files, flags_module.setting(c, "head", head), outliers, folds, seed, protocol)
    run = flags_module.train(files, plan, name, data, force)
    if flags_module.is_the_missions(run):
        say(EASIER)
    next_steps(f"grade --name {name} --truth {SUBMISSIONS / name / run_card.TRUTH_FILE}", "status")


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
    from catsdogs.runs import prediction, run_card

    flags_module.refuse_idle_weights(weights_dir, run_card.read_run(SUBMISSIONS / name).backbones)
    target = Path(out) if out else SUBMISSIONS / name / "predictions.csv"
    cache = flags_module.location(c, "features", features) / PREDICTION_CACHE
    weights = flags_module.extraction_settings(c, weights_dir).weights_dir
    if target.is_dir():
        raise UsageError(f"--out {target} is a folder", "Give the name of a CSV to write")
    for folder in (target.parent, cache):
        flags_module.check_writable(folder)
    predicted = prediction.predict(SUBMISSIONS / name, storage.place(data), target, cache, weights)
    flags_module.say_left_alone(predicted.left_alone)
    listed(
        [(photograph.id, photograph.reason) for photograph in predicted.unreadable],
        lambda id, reason: f"unreadable, given the class prior: {id} ({reason})",
        target.with_name(f"{target.stem}-{flags_module.UNREADABLE_FILE}"),
        ("id", "reason"),
    )
    wrote(target, f"the probability of {predicted.columns}, rows: {predicted.rows:,}")
    next_steps(f"serve --name {shlex.quote(name)}")


@stage(name=NAME, truth="a CSV of id and label (0, 1 or the class)")
def grade(c: Context, name: str, truth: str) -> None:
    """Log loss of a run's CSV against a truth CSV; for Dogs vs. Cats Redux beside Kaggle's medal lines."""
    from catsdogs.competition import submission
    from catsdogs.runs import run_card

    run = run_card.read_run(SUBMISSIONS / name)
    graded = submission.grade_submission(
        SUBMISSIONS / name / run_card.SUBMISSION_FILE, Path(truth), run.classes, run.left_out
    )
    say(graded)
    if flags_module.is_the_missions(run):  # no other one's scores can be put beside these
        say(EASIER if run.protocol else submission.standing(graded.log_loss))


@stage(name=NAME, message="shown beside the submission on Kaggle", data=DATA, competition=COMPETITION)
def submit(
    c: Context, name: str, message: str | None = None, data: str | None = None, competition: str | None = None
) -> None:
    """Check a run's CSV, upload it to its competition on Kaggle and show the answer."""
    from catsdogs.competition import kaggle, submission
    from catsdogs.runs import run_card

    run = run_card.read_run(SUBMISSIONS / name)
    path = SUBMISSIONS / name / run_card.SUBMISSION_FILE
    if run.protocol:
        raise SubmissionError(f"The run {name} answers for held-out training photographs", "Submit a run of `train`")
    if not path.exists():
        raise SubmissionError(
            f"The run {name} has no CSV, for {run.source} had no test photographs", "Train on data with test/"
        )
    to = flags_module.competition_of(competition or run.competition, data or run.source)
    if not to:
        raise UsageError(
            f"Nothing says which competition the run {name} is for",
            "Give --competition NAME, as the address of its page has it, such as dog-breed-identification",
        )
    dataset = flags_module.dataset_at(data, run.source)
    sample = dataset.sample_submission if dataset else None
    rows = submission.check_submission(path, sample, run.classes, run.left_out)
    alike = "like the sample submission" if sample else "with no sample submission to compare"
    say(f"{path}: {rows:,} rows, {alike}; to {to}")
    answer = kaggle.upload(path, message or f"{name}: {run.scores[0]}", to)
    scores = [("public", answer.public_score), ("private", answer.private_score)]
    shown = ", ".join(f"{which} score {score:.5f}" for which, score in scores if score is not None)
    say(f"Kaggle: {', '.join(filter(None, [answer.status, shown, answer.detail]))}; see {answer.url}")


@stage(features=FEATURES)
def status(c: Context, features: str | None = None) -> None:
    """What is cached, for which networks and how many rows, and your networks and runs with their scores."""
    from catsdogs.features import feature_file, gap_file
    from catsdogs.networks import trained
    from catsdogs.runs import run_card

    folder = flags_module.features_folder(c, features)
    names = feature_file.names(folder)
    if not names:
        say(f"{folder} holds no feature files")
    for name in names:
        path = feature_file.path_of(folder, name)
        try:
            say(
                f"{path}: an old notebook's vectors"
                if gap_file.is_gap_file(path)
                else flags_module.describe(feature_file.read_features(path))
            )
        except StoreError as error:
            say(error)
    for name in trained.names():
        try:
            card = trained.read_card(trained.FOLDER / name)
            say(f"{trained.FOLDER / name}: {card.base}, {card.scores[0]}")
        except WeightsError as error:
            say(error)
    listing = run_card.list_runs(SUBMISSIONS)
    for run in listing.runs:
        say(f"{SUBMISSIONS / run.name}: {run.head} on {' + '.join(run.backbones)}, {run.scores[0]}")
    for damage in listing.damaged:
        say(damage)
    next_steps("features", "train")


@stage(
    format="tfrecord, which TensorFlow reads",
    data=DATA,
    classes=CLASSES,
    holdout=HOLDOUT,
    count="shards of the training photographs; as many as make some 50 MB each if not given",
    size="resize to squares of so many pixels; the original bytes if not given",
    out="the folder to write to",
)
def shards(
    c: Context,
    format: str = "tfrecord",
    data: str | None = None,
    classes: str | None = None,
    holdout: str | None = None,
    count: str | None = None,
    size: str | None = None,
    out: str = "shards",
) -> None:
    """Pack photographs, labels and ids into TFRecord shards; features and finetune take the folder as --data."""
    from catsdogs.photographs import tfrecord, tfrecord_writer

    if format != "tfrecord":
        raise UnknownNameError("format of shards", format, ["tfrecord"])
    pieces = settings.number("count", count) if count else None
    side = settings.number("size", size) if size else None
    dataset = flags_module.scan(c, data, classes, holdout)
    for note in dataset.notes:
        say(note)
    summary = tfrecord_writer.write_record_files(dataset, Path(out), pieces, side)
    manifest = summary.folder / tfrecord.MANIFEST
    flags_module.say_unreadable(summary.unreadable, manifest, is_written=True)
    listed(
        [(summary.folder / shard.file, f"{shard.rows:,} rows, {shard.bytes / 1e6:.1f} MB") for shard in summary.shards],
        lambda path, what: f"wrote {path}  ({what})",
        manifest,
    )
    if summary.odd_sizes:
        say("Shards of 10 to 100 MB read best; another --count gives other sizes")
    next_steps(f"features --data {shlex.quote(out)}")


@stage(data="a folder of your own photographs to make the tour with")
def demo(c: Context, data: str | None = None) -> None:
    """The whole job in three minutes on drawn cats and dogs: features, outliers, training, grading."""
    from catsdogs.competition import submission
    from catsdogs.networks.table import SHORTHANDS
    from catsdogs.runs import run_card

    root = Path(data) if data else DEMO_DATA
    name = f"{DEMO}-{root.resolve().name}" if data else DEMO
    folder = flags_module.location(c, "features") / name
    if not data:
        from catsdogs.demo.drawings import draw_dataset

        counts = draw_dataset(root)
        say(f"{root}: {counts['train']} + {counts['test']} pictures, drawn by this program: these are no photographs")
    say("\n[1 of 4] features: three pretrained networks, one pass")
    dataset = flags_module.scan(c, str(root), None, None)
    flags_module.extract_features(dataset, list(SHORTHANDS["lite"]), folder, flags_module.extraction_settings(c))
    files = flags_module.read_features(c, folder, "lite", None)
    say("\n[2 of 4] outliers: what shows no pet")
    flags_module.find_outliers(c, folder, files, data)
    say("\n[3 of 4] train: dropout and a sigmoid on the joined vectors")
    flags_module.train(files, flags_module.plan(c, folder, files, DEMO_HEAD, "keep"), name, data, force=True)
    say("\n[4 of 4] grade: the CSV against the truth")
    path, truth = SUBMISSIONS / name / run_card.SUBMISSION_FILE, root / "truth.csv"
    if path.exists() and truth.exists():
        say(submission.grade_submission(path, truth, run_card.read_run(path.parent).classes))
    else:
        say(f"{root} has no truth.csv for test photographs; the out-of-fold log loss above is the estimate")
    say(f"the CSV: {path if path.exists() else f'none, for {root} has no test photographs'}")
    say("\nTo look at it, and then with real photographs:")
    next_steps(
        f"report --name {name}",
        "serve",
        "fetch --source microsoft",
        "features --backbones lite",
        "train --backbones lite --name first",
    )


@stage(features=FEATURES)
def clean(c: Context, features: str | None = None) -> None:
    """Remove the demo and cached predictions; your feature files, unfinished shards and runs stay."""
    from catsdogs.files import locks

    folder = flags_module.features_folder(c, features)
    all_of_it = (folder / PREDICTION_CACHE, folder / DEMO, DEMO_DATA, SUBMISSIONS / DEMO)
    leftovers = [path for path in all_of_it if path.exists()]
    for leftover in leftovers:
        with contextlib.ExitStack() as in_use:
            for locked in {lock.parent for lock in leftover.rglob(".lock*")}:
                in_use.enter_context(locks.hold_folder(locked))
            shutil.rmtree(leftover)
        say(f"removed {leftover}")
    if not leftovers:
        say("nothing to remove")


collection = Collection(
    fetch,
    features,
    outliers,
    train,
    compare,
    replay,
    predict,
    grade,
    submit,
    pages.report,
    pages.serve,
    finetuning.finetune,
    finetuning.distill,
    finetuning.ablate,
    finetuning.filters,
    finetuning.verify,
    finetuning.fewshot,
    shards,
    status,
    demo,
    clean,
    chores.test,
    chores.lint,
    chores.lock,
    chores.faults,
    chores.audit,
    chores.bench,
)


def main() -> None:
    """The console command `catsdogs`."""
    Program(collection).run()
