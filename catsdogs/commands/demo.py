"""The demo on the command line: the whole pipeline on drawn pictures, or on photographs of one's own."""

from pathlib import Path

from catsdogs.commands.cleaning import list_outliers
from catsdogs.commands.console import next_steps, say, task
from catsdogs.commands.features import extract_features
from catsdogs.commands.flags import extraction_settings, read_feature_files
from catsdogs.commands.photographs import look_at
from catsdogs.commands.runs import plan_run, train_run
from catsdogs.commands.settings import SUBMISSIONS, Flags

DEMO = "demo"
DEMO_HEAD = "dropout-sigmoid"
DEMO_DATA = Path("data") / DEMO


@task(data="a folder of your own photographs to make the tour with")
def demo(flags: Flags, data: str | None = None) -> None:
    """The whole job in three minutes on drawn cats and dogs: features, outliers, training, grading."""
    from catsdogs.competition import grading
    from catsdogs.networks.table import SHORTHANDS
    from catsdogs.runs import run_card

    root = Path(data) if data else DEMO_DATA
    name = f"{DEMO}-{root.resolve().name}" if data else DEMO
    folder = flags.place("features") / name
    if not data:
        from catsdogs.demo.drawings import draw_dataset

        counts = draw_dataset(root)
        say(f"{root}: {counts['train']} + {counts['test']} pictures, drawn by this program: these are no photographs")
    say("\n[1 of 4] features: three pretrained networks, one pass")
    dataset = look_at(flags.but(data=str(root)))
    extract_features(dataset, list(SHORTHANDS["lite"]), folder, extraction_settings(flags))
    flags = flags.but(features=str(folder), backbones="lite", head=DEMO_HEAD, outliers="keep")
    flags = flags.but(k=None, votes=None, quartiles=False, all=False)
    files = read_feature_files(flags)
    say("\n[2 of 4] outliers: what shows no pet")
    list_outliers(flags, files)
    say("\n[3 of 4] train: dropout and a sigmoid on the joined vectors")
    train_run(flags, files, plan_run(flags, files), name, force=True)
    say("\n[4 of 4] grade: the CSV against the truth")
    path, truth = SUBMISSIONS / name / run_card.SUBMISSION_FILE, root / "truth.csv"
    if path.exists() and truth.exists():
        say(grading.grade_submission(path, truth, run_card.read_run(path.parent).classes))
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
