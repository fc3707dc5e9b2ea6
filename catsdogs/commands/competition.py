"""A competition on the command line: `fetch` its photographs, `grade` and `submit` a run's CSV."""

from pathlib import Path
from typing import TYPE_CHECKING

from catsdogs.commands.console import next_steps, say, task
from catsdogs.commands.flags import as_flags, reading
from catsdogs.commands.settings import DEFAULTS, SUBMISSIONS, Flags
from catsdogs.errors import CatsdogsError, SubmissionError, UsageError

if TYPE_CHECKING:
    from catsdogs.runs.run_card import Run

HELD_OUT_IS_EASIER = (
    "These are held-out training photographs, easier than Kaggle's test set (a notebook that saw 0.0119 "
    "on such scored 0.0414 there): read no medal into this score."
)


@task(
    "competition source data",
    competition="Kaggle's name of a competition, as in its page's address; Dogs vs. Cats Redux if not given",
    source="kaggle (needs an account) or microsoft (Dogs vs. Cats' labelled photographs, no account)",
    data="the folder to download to; if not given data/<competition>, for Dogs vs. Cats Redux data/dogs-vs-cats",
)
def fetch(flags: Flags, source: str = "kaggle") -> None:
    """Download a competition's photographs, and say what it asks for."""
    from catsdogs.competition import kaggle
    from catsdogs.competition.fetch import fetch as fetch_photographs

    if flags.competition and source != "kaggle":
        raise UsageError(f"--source {source} has no competitions", "Leave out --source, or --competition")
    slug = kaggle.name_of(flags.text("competition") or kaggle.COMPETITION)
    if source == "kaggle" and slug != kaggle.COMPETITION:
        _fetch_competition(flags, slug)
        return
    place = flags.place("data")
    counts, skipped = fetch_photographs(source, place)
    counted = ", ".join(f"{count:,} in {folder}" for folder, count in counts.items())
    say(f"{place}: {counted}" + (f"; already there: {', '.join(skipped)}" if skipped else ""))
    next_steps(f"features{as_flags(flags, data=str(place))}")


def _fetch_competition(flags: Flags, slug: str) -> None:
    """Bring all files of a competition, and say what they are, as far as they can be read."""
    from catsdogs.competition import archive
    from catsdogs.front.reading import read

    # A folder in the settings is that of the competition in the settings.
    is_set = flags.setting("competition") == slug and flags.setting("data") != DEFAULTS["data"]
    place = flags.place("data") if flags.data or is_set else Path("data", slug)
    fetched = archive.fetch_competition(slug, place)
    already = "; all were there already" if fetched.were_there else ""
    say(f"{place}: {fetched.files:,} files, {fetched.size / 1e6:,.1f} MB{already}")
    next_command = "features"
    try:
        read(place, **reading(flags))
    except CatsdogsError as error:  # the files are there all the same, and `look` has flags that may answer it
        say(error)
        next_command = "look"
    next_steps(f"{next_command}{as_flags(flags, data=str(place))}")


@task(truth="a CSV of id and label (0, 1 or the class), or one with the columns of the sample submission")
def grade(flags: Flags, name: str, truth: str) -> None:
    """Score a run's CSV against a truth CSV by its metric, beside Kaggle's medal lines where they are known."""
    from catsdogs.competition import grading, known
    from catsdogs.runs import run_card

    run = run_card.read_run(SUBMISSIONS / name)
    path = SUBMISSIONS / name / run_card.SUBMISSION_FILE
    graded = grading.grade_submission(path, Path(truth), run.classes, run.left_out, run.task, run.rule)
    say(graded)
    if run.protocol and is_dogs_vs_cats(run):
        say(HELD_OUT_IS_EASIER)
    elif not run.protocol and (standing := known.standing(_competition_of(run), graded.value)):
        say(standing)


@task("name message data competition", message="shown beside the submission on Kaggle")
def submit(flags: Flags, name: str) -> None:
    """Check a run's CSV, upload it to its competition on Kaggle and show the answer."""
    from catsdogs.competition import kaggle, submission
    from catsdogs.front.reading import competition_name, find_again
    from catsdogs.runs import run_card

    run = run_card.read_run(SUBMISSIONS / name)
    path = SUBMISSIONS / name / run_card.SUBMISSION_FILE
    if run.protocol:
        raise SubmissionError(f"The run {name} answers for held-out training photographs", "Submit a run of `train`")
    if not path.exists():
        raise SubmissionError(
            f"The run {name} has no CSV, for {run.source} had no test photographs", "Train on data with test/"
        )
    to = competition_name(flags.competition or run.competition, flags.data or run.source)
    if not to:
        raise UsageError(
            f"Nothing says which competition the run {name} is for",
            "Give --competition NAME, as the address of its page has it, such as dog-breed-identification",
        )
    dataset = find_again(flags.data, run.source, run.task)
    sample = dataset.sample_submission if dataset else None
    rows = submission.check_submission(path, sample, run.classes, run.left_out, run.task)
    alike = "like the sample submission" if sample else "with no sample submission to compare"
    say(f"{path}: {rows:,} rows, {alike}; to {to}")
    answer = kaggle.upload(path, flags.message or f"{name}: {run.scores[0]}", to)
    scores = [("public", answer.public_score), ("private", answer.private_score)]
    shown = ", ".join(f"{which} score {score:.5f}" for which, score in scores if score is not None)
    say(f"Kaggle: {', '.join(filter(None, [answer.status, shown, answer.detail]))}; see {answer.url}")


def is_dogs_vs_cats(run: "Run") -> bool:
    """Whether a run is for Dogs vs. Cats Redux, whose scores and medals are known."""
    from catsdogs.competition import kaggle

    return _competition_of(run) == kaggle.COMPETITION


def _competition_of(run: "Run") -> str:
    from catsdogs.front.reading import competition_name

    return competition_name(run.competition, run.source)
