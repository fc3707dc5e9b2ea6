"""Few-shot classification: photographs of new classes, from a handful of examples each, by twins and by neighbours."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

from catsdogs.competition import submission
from catsdogs.errors import StoreError, TrainingError, UnknownNameError, UsageError, to_choose_from
from catsdogs.features import joining, neighbours
from catsdogs.features.feature_file import Features
from catsdogs.features.scaling import Labels
from catsdogs.files import storage, tables
from catsdogs.heads.twin import Matrix, Twin, prototypes
from catsdogs.networks import trained, weights
from catsdogs.photographs import label_texts
from catsdogs.progress import Progress
from catsdogs.runs import answers, run_card
from catsdogs.scoring.measuring import mean_and_error
from catsdogs.twins import example_scale, verification
from catsdogs.twins.example_scale import AS_LEARNT, BY_EXAMPLES

MEMBERS = 5  # twins that are trained here, as many as a run has by default; their logits are averaged
TWIN, NEIGHBOUR, MEAN = "twin", "nearest neighbour", "nearest class mean"
_MAX_NAMED = 8
_MOSTLY = 0.5  # of the new photographs

Scores = NDArray[np.floating]


class Setup(NamedTuple):
    """All that the new classes are told apart with; see `prepare`.

    Attributes:
        shots, repeats: examples of each new class in an episode, and how many episodes there are.
        seed: of the examples.
        new: the classes; neither the twins nor their standardisation ever saw a photograph of them.
        learnt: the classes that the twins learnt.
        vectors, labels: of the photographs of the new classes; labels index `new`.
        learnt_vectors: what the twins learnt from; None where it is not at hand.
    """

    files: Sequence[Features]
    shots: int
    repeats: int
    seed: int
    new: tuple[str, ...]
    learnt: tuple[str, ...]
    vectors: Matrix
    labels: Labels
    twins: list[Twin]
    learnt_vectors: Matrix | None

    @property
    def widths(self) -> list[int]:
        """Columns of each network."""
        return [file.width for file in self.files]


@dataclass(frozen=True)
class FewShotResult:
    """How often the right new class was named.

    Attributes:
        accuracy: method -> (repeats,) the share that was right in each episode; all methods have the same episodes.
        far: the share of the new photographs that lie farther from all that the twins learnt than 99 % of the learnt
            ones lie from each other, see `neighbours.unfamiliarity`; None where the learnt ones are not at hand.
        log_loss: of the twins' probabilities, by what they are scaled on, `example_scale.BY_EXAMPLES` where a class has
            two examples or more, and `AS_LEARNT` -> (repeats,).
    """

    setup: Setup
    accuracy: dict[str, NDArray[np.float64]]
    far: float | None = None
    log_loss: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    def mean(self, method: str) -> tuple[float, float]:
        """The mean accuracy over episodes, and its standard error."""
        return mean_and_error(self.accuracy[method])

    def ahead(self, method: str) -> tuple[float, float]:
        """By how much the twins are better in the same episode: the mean, and its standard error."""
        return mean_and_error(self.accuracy[TWIN] - self.accuracy[method])


def prepare(
    files: Sequence[Features],
    new: Sequence[str] = (),
    shots: int = 5,
    repeats: int = 20,
    seed: int = 0,
    run_folder: Path | None = None,
) -> Setup:
    """Labelled photographs of new classes, and twins that never saw them.

    Args:
        new: the classes to hold out; if none are given, all classes of the files, which takes a run.
        run_folder: a run with the head `twin`, trained on other classes; without one, twins learn from the files' other
            classes.

    Raises:
        UsageError: fewer than two new classes or, without a run, two others; no episodes or examples.
        UnknownNameError: no such class or run.
        TrainingError: a class has no photograph beyond its examples; the run's head is no twin; the run or a network
            trained here has learnt one of the new classes; random weights.
        StoreError: the files hold different rows, or are not of the networks that the run was trained on.
    """
    label_texts.refuse_several(files[0].task, "A twin")
    if shots < 1 or repeats < 2 or seed < 0:
        raise UsageError(f"{shots} examples, {repeats} episodes, seed {seed}", "Give at least 1 example and 2 episodes")
    new = _checked_classes(files[0], new, shots + 1, run_folder)
    for file in files:
        _check_network(file, new)
    joining.check_joinable(files)
    first = files[0]
    X = joining.Joined(files, "train").read()
    place = np.array([new.index(name) if name in new else -1 for name in first.classes])[first.labels]
    others = place < 0
    if run_folder is None:
        learnt = tuple(name for name in first.classes if name not in new)
        learnt_vectors: Matrix | None = X[others]
        twins = []
        with Progress(MEMBERS, "training", "twin") as progress:
            for number in range(MEMBERS):
                twins.append(Twin(random_state=seed + number).fit(learnt_vectors, first.labels[others]))
                progress.update()
    else:
        twins, learnt, learnt_vectors = _twins_of_run(run_folder, files, new)
    return Setup(files, shots, repeats, seed, new, learnt, X[~others], place[~others], twins, learnt_vectors)


def evaluate(setup: Setup) -> FewShotResult:
    """Measure on labelled photographs of classes that the twins never saw.

    In each episode `shots` examples of every new class are drawn at random, and all other photographs of these classes
    are classified: by the likeness that the twins find between a photograph and the mean of a class's examples, by its
    nearest neighbour among the examples, and by the nearest of their means. The last two go by the cosine of the
    vectors, averaged over the networks, once the mean of what the twins learnt from is subtracted where that is at
    hand: "CL2N" of Y. Wang et al., SimpleShot, 2019, https://arxiv.org/abs/1911.04623. The nearest class mean is the
    stronger baseline for several examples.
    """
    accuracy, log_loss = _episodes(setup)
    return FewShotResult(setup, accuracy, _share_far_away(setup), log_loss)


class Classified(NamedTuple):
    """How many test rows were written, and in words what their probabilities were scaled on."""

    rows: int
    scaled: str


def classify(path: Path, setup: Setup) -> Classified:
    """Write a CSV of the files' test rows, each of a new class, as a submission; all labelled rows are examples.

    Raises:
        StoreError: the vectors cannot be read, or the file cannot be written.
    """
    vectors, ids = joining.Joined(setup.files, "test").read(), setup.files[0].ids["test"].tolist()
    queries, examples = ([twin.embed(rows) for twin in setup.twins] for rows in (vectors, setup.vectors))
    scale, scaled = example_scale.fitted_scale(setup.twins, examples, setup.labels)
    logits = example_scale.logits_of(setup.twins, queries, examples, setup.labels)
    submission.write_submission(path, ids, softmax(scale * logits, axis=1), setup.new, None, {})
    return Classified(len(ids), scaled)


def format_few_shot(result: FewShotResult) -> str:
    """A line for each method, best first, and below them how it was measured."""
    setup = result.setup
    new, learnt = (
        ", ".join(names[:_MAX_NAMED]) + (", …" if len(names) > _MAX_NAMED else "")
        for names in (setup.new, setup.learnt)
    )
    lines = [f"{'':20}{'accuracy':>16}{'twin ahead by':>20}"]
    for method in sorted(result.accuracy, key=lambda method: -result.mean(method)[0]):
        accuracy, error = result.mean(method)
        line = f"{method:20}{f'{accuracy:.1%} ±{error:.1%}':>16}"
        if method != TWIN:
            ahead, error = result.ahead(method)
            line += f"{f'{ahead:+.1%} ±{error:.1%}':>20}"
        lines.append(line)
    lines.append(f"{'chance':20}{f'{1 / len(setup.new):.1%}':>10}")
    return "\n".join(
        (
            *lines,
            "",
            f"{len(setup.new)} new classes: {new}. The twins learnt: {learnt}.",
            f"{setup.repeats} times, {setup.shots} photographs of each new class were drawn as examples, and the "
            f"others of {len(setup.labels):,} classified.",
            "± is a standard error over these draws: it speaks of other examples, not of other classes.",
            *_log_loss_in_words(result),
            *_centring_in_words(setup),
            *_distance_in_words(result),
        )
    )


def _log_loss_in_words(result: FewShotResult) -> list[str]:
    """What the twins' probabilities are worth, by what they are scaled on."""
    figures = {scaled: "{:.3f} ±{:.3f}".format(*mean_and_error(losses)) for scaled, losses in result.log_loss.items()}
    if BY_EXAMPLES not in figures:
        only = [f"Log loss of the twins, scaled {scaled}: {text};" for scaled, text in figures.items()]
        return [*only, "one example of a class leaves none to scale on."] if only else []
    return [
        f"Log loss of the twins, scaled {BY_EXAMPLES}: {figures[BY_EXAMPLES]};",
        f"scaled {AS_LEARNT} it would be {figures[AS_LEARNT]}.",
    ]


def _centring_in_words(setup: Setup) -> list[str]:
    """What was subtracted for the neighbour and the mean, where nothing was."""
    if setup.learnt_vectors is not None:
        return []
    return ["The mean of what the twins learnt is not known, so neighbours and means go by vectors as they are."]


def _distance_in_words(result: FewShotResult) -> list[str]:
    """What the distance of the new photographs from the learnt ones means for the twins."""
    if result.far is None:
        return ["How far the new photographs lie from what the twins learnt is not known: those files are gone."]
    far = f"{result.far:.1%} of the new photographs lie farther from all that the twins learnt than 99 % of the learnt"
    if result.far < _MOSTLY:
        return [f"{far}."]
    return [f"{far}:", "these classes are of another world, and the twins' word on them counts for little."]


def write_few_shot(path: Path, result: FewShotResult) -> None:
    """A row for each method and episode; the log losses are of the twins, whose probabilities alone are submitted.

    Raises:
        StoreError: the file cannot be written.
    """
    setup = result.setup
    as_learnt = result.log_loss.get(AS_LEARNT, np.empty(0))
    pairs = zip(result.log_loss.get(BY_EXAMPLES, as_learnt), as_learnt, strict=True)
    of_twins = {(TWIN, episode): tuple(f"{loss:.9g}" for loss in pair) for episode, pair in enumerate(pairs, start=1)}
    constant = {
        "networks": "+".join(file.name for file in setup.files),
        "new": "+".join(setup.new),
        "learnt": "+".join(setup.learnt),
        "shots": setup.shots,
        "classified": len(setup.labels) - setup.shots * len(setup.new),
    }
    rows = (
        (method, episode, f"{share:.9g}", *constant.values(), *of_twins.get((method, episode), ("", "")))
        for method, shares in result.accuracy.items()
        for episode, share in enumerate(shares, start=1)
    )
    tables.write_table(path, ("method", "episode", "accuracy", *constant, "log_loss", "log_loss_as_learnt"), rows)


def _checked_classes(first: Features, new: Sequence[str], needed: int, run_folder: Path | None) -> tuple[str, ...]:
    """The new classes in the order of the file, after a check that they can be used."""
    classes = first.classes
    for name in new:
        if name not in classes:
            raise UnknownNameError("class", name, list(classes))
    if not new and run_folder is None:
        raise UsageError("No class is named as new", f"Give --new some of {to_choose_from(classes)}")
    chosen = tuple(name for name in classes if name in new or not new)
    if len(chosen) < 2:
        raise UsageError(f"{len(chosen)} new class", "Give --new two classes or more")
    if run_folder is None and len(classes) - len(chosen) < 2:
        raise UsageError(
            f"{len(chosen)} of {len(classes)} classes are new, which leaves none to tell apart for the twins",
            "Leave two classes or more out of --new, or give --twin a run that was trained on others",
        )
    for name in chosen:
        count = np.count_nonzero(first.labels == first.classes.index(name))
        if count < needed:
            raise TrainingError(
                f"The class {name} has {count} photographs in {first.path}, and {needed} are needed",
                "Give --shots a smaller number, or add photographs",
            )
    return chosen


def _twins_of_run(
    run_folder: Path, files: Sequence[Features], new: Sequence[str]
) -> tuple[list[Twin], tuple[str, ...], Matrix | None]:
    """A run's twins and classes, and the vectors it learnt from where they are still there."""
    trained_run = run_card.load_run(run_folder)
    twins, run = verification.twin_heads(trained_run), trained_run.run
    known = [name for name in new if name in run.classes]
    if known:
        raise TrainingError(
            f"The run {run.name} has learnt {to_choose_from(known)}",
            "Give --new classes that are new to it, or another --twin",
        )
    run_card.check_vectors(run, files)
    try:
        vectors = joining.Joined(answers.training_files(run, storage.place(run.features)), "train").read()
    except StoreError:
        vectors = None
    return twins, run.classes, vectors


def _share_far_away(setup: Setup) -> float | None:
    if setup.learnt_vectors is None:
        return None
    learnt, new = (_normalised(vectors, setup.widths) for vectors in (setup.learnt_vectors, setup.vectors))
    return float((neighbours.unfamiliar_rows(new, learnt) >= neighbours.FAR).mean())


def _normalised(vectors: Matrix, widths: Sequence[int]) -> Matrix:
    normal = vectors.copy()
    joining.normalise(normal, widths)
    return normal


def _check_network(file: Features, new: Sequence[str]) -> None:
    if file.recipe.weights == weights.RANDOM_WEIGHTS:
        raise TrainingError(f"{file.path} comes from random weights", "Extract its features with real weights")
    if file.recipe.backbone in trained.names():
        learnt = trained.read_card(trained.FOLDER / file.recipe.backbone).classes
        known = [name for name in new if name in learnt]
        if known:
            raise TrainingError(
                f"The network {file.name} has learnt {to_choose_from(known)}",
                "Give --backbones one that never saw these classes",
            )


def _episodes(setup: Setup) -> tuple[dict[str, NDArray[np.float64]], dict[str, NDArray[np.float64]]]:
    """Method -> (repeats,) accuracies, and what the twins are scaled on -> (repeats,) log losses; see `evaluate`."""
    vectors = setup.vectors if setup.learnt_vectors is None else setup.vectors - setup.learnt_vectors.mean(axis=0)
    normal = _normalised(vectors, setup.widths)
    embedded = [twin.embed(setup.vectors) for twin in setup.twins]
    accuracy: dict[str, list[float]] = {TWIN: [], NEIGHBOUR: [], MEAN: []}
    log_loss: dict[str, list[float]] = {}
    for episode in range(setup.repeats):
        examples = _draw_examples(setup.labels, setup.shots, np.random.default_rng((setup.seed, episode)))
        queries = np.setdiff1d(np.arange(len(normal)), examples)
        labels, right = setup.labels[examples], setup.labels[queries]
        embedded_queries, embedded_examples = [e[queries] for e in embedded], [e[examples] for e in embedded]
        logits = example_scale.logits_of(setup.twins, embedded_queries, embedded_examples, labels)
        scores = {
            TWIN: logits,
            NEIGHBOUR: _nearest_neighbour(normal[queries], normal[examples], labels),
            MEAN: normal[queries] @ prototypes(normal[examples], labels, len(setup.new)).T,
        }
        for method, of_queries in scores.items():
            accuracy[method].append(float((of_queries.argmax(axis=1) == right).mean()))
        scale, scaled = example_scale.fitted_scale(setup.twins, embedded_examples, labels)
        for name, factor in {scaled: scale, AS_LEARNT: 1.0}.items():
            losses = -log_softmax(factor * logits, axis=1)[np.arange(len(right)), right]
            log_loss.setdefault(name, []).append(float(losses.mean()))
    shares, losses_of = ({name: np.array(seen) for name, seen in table.items()} for table in (accuracy, log_loss))
    return shares, losses_of


def _draw_examples(labels: Labels, shots: int, random: np.random.Generator) -> NDArray[np.intp]:
    classes = range(int(labels.max()) + 1)
    return np.concatenate([random.choice(np.flatnonzero(labels == number), shots, replace=False) for number in classes])


def _nearest_neighbour(queries: Matrix, examples: Matrix, labels: Labels) -> Scores:
    """(n, classes) the cosine of each query's nearest example of each class."""
    similarities = queries @ examples.T
    return np.stack([similarities[:, labels == number].max(axis=1) for number in range(int(labels.max()) + 1)], axis=1)
