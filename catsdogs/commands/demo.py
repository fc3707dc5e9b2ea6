"""The demo on the command line: the whole pipeline on drawn pictures, or on photographs of one's own."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from catsdogs.commands.console import next_steps, say, task
from catsdogs.commands.flags import extraction_settings, read_feature_files, reading
from catsdogs.commands.runs import plan_run, train_as_told
from catsdogs.commands.settings import SUBMISSIONS, Flags
from catsdogs.errors import UsageError

DEMO = "demo"
DEMO_HEAD = "dropout-sigmoid"
DEMO_DATA = Path("data") / DEMO
NETWORKS = "lite"
NETWORK_OF_COMPETITIONS = "EfficientNetLite0"  # the smallest of the embedded ones: their pictures are a hundred
# The settings in invoke.yaml are for photographs of one's own, and say nothing of drawings.
_NO_SETTINGS = dict.fromkeys(("labels", "images", "positive", "kind", "groups", "metric", "competition"), "")


class _Tour(NamedTuple):
    """What a tour is made with.

    Attributes:
        name: of the run, and of the folder of feature files.
        data: the photographs.
        truth: a CSV of the right answers, which need not be there.
        backbones: the networks; several have commas between them.
        flags: those with which the photographs are read, and their values.
        next_steps: what to type afterwards.
    """

    name: str
    data: Path
    truth: Path
    backbones: str = NETWORKS
    flags: Mapping[str, str] = {}
    next_steps: tuple[str, ...] = (
        "fetch --source microsoft",
        "features --backbones lite",
        "train --backbones lite --name first",
    )


@task(
    data="a folder of your own photographs to make the tour with",
    competition="the kind of a small competition to draw and make the tour with: binary, zips, classes, one-hot, name, "
    "best-5, coco, folders, positive, labels, names, grades or number",
)
def demo(flags: Flags, data: str | None = None, competition: str | None = None) -> None:
    """The whole job in minutes on drawn pets, or a drawn competition: features, outliers, training, grading."""
    if data and competition:
        raise UsageError(
            f"--data {data} would do nothing: --competition {competition} draws its own pictures",
            "Leave one of them out",
        )
    from catsdogs.features.extract import expect
    from catsdogs.networks.choice import expand

    name = of_kind(competition) if competition else f"{DEMO}-{Path(data).resolve().name}" if data else DEMO
    networks = NETWORK_OF_COMPETITIONS if competition else NETWORKS
    expect(expand(networks), extraction_settings(flags), flags.place("features") / name)  # while pictures are drawn
    if competition:
        tour = _draw_competition(competition)
    elif data:
        tour = _Tour(name, Path(data), Path(data) / "truth.csv")
    else:
        tour = _draw_pets()
    _make(flags.but(**tour.flags), tour)


def of_kind(kind: str) -> str:
    """What the run of a drawn competition is called, and its folders in data/ and features/."""
    return f"{DEMO}-{kind}"


def _draw_pets() -> _Tour:
    from catsdogs.demo.drawings import draw_dataset

    counts = draw_dataset(DEMO_DATA)
    say(f"{DEMO_DATA}: {counts['train']} + {counts['test']} pictures, drawn by this program: these are no photographs")
    return _Tour(DEMO, DEMO_DATA, DEMO_DATA / "truth.csv", flags=_NO_SETTINGS)


def _draw_competition(kind: str) -> _Tour:
    from catsdogs.demo.competitions import KINDS, draw_competition

    drawn = draw_competition(kind, DEMO_DATA.with_name(of_kind(kind)))
    told = drawn.flags | {"metric": drawn.metric}
    say(f"{drawn.data}: {KINDS[kind]}. Drawn by this program: these are no photographs")
    said = " ".join(f"--{flag} {value}" for flag, value in told.items())
    say(f"read with {said}, which a competition's pages say, and its files do not")
    then = ("look --data DIR", "features --data DIR", "train --name first")
    return _Tour(of_kind(kind), drawn.data, drawn.truth, NETWORK_OF_COMPETITIONS, _NO_SETTINGS | told, then)


def _make(flags: Flags, tour: _Tour) -> None:
    """The four steps, and what to do next."""
    from catsdogs.competition import grading
    from catsdogs.front.extracting import extract_files
    from catsdogs.front.reading import read
    from catsdogs.front.suspects import list_suspects
    from catsdogs.networks.choice import expand
    from catsdogs.runs import run_card

    folder, networks = flags.place("features") / tour.name, expand(tour.backbones)
    say(f"\n[1 of 4] features: pretrained networks, one pass: {', '.join(networks)}")
    dataset = read(tour.data, **reading(flags))
    extract_files(dataset, networks, folder, extraction_settings(flags))
    flags = flags.but(features=str(folder), backbones=tour.backbones, head=DEMO_HEAD, outliers="keep")
    files = read_feature_files(flags)
    say("\n[2 of 4] outliers: what a person should look at")
    list_suspects(files, folder, None, None, False, False, flags.data, flags.number("folds"), flags.number("seed"))
    say("\n[3 of 4] train: dropout and a sigmoid on the joined vectors")
    train_as_told(flags, files, plan_run(flags, files), tour.name, force=True)
    say("\n[4 of 4] grade: the CSV against the truth")
    path = SUBMISSIONS / tour.name / run_card.SUBMISSION_FILE
    if path.exists() and tour.truth.exists():
        run = run_card.read_run(path.parent)
        say(grading.grade_submission(path, tour.truth, run.classes, run.left_out, run.task, run.rule))
    else:
        say(f"{tour.data} has no truth.csv for test photographs; the out-of-fold score above is the estimate")
    say(f"the CSV: {path if path.exists() else f'none, for {tour.data} has no test photographs'}")
    say("\nTo look at it, and then with real photographs:")
    next_steps(f"report --name {tour.name}", "serve", *tour.next_steps)
