"""The page as HTML: figures with their captions, galleries of tiles, and tables, put into a template."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from catsdogs.photographs import description
from catsdogs.report import captions, figures, measures
from catsdogs.report.choices import Choices, kinds_of
from catsdogs.report.evidence import Evidence
from catsdogs.report.measures import Bin, Projection
from catsdogs.report.pictures import GALLERY_SIDE, MAP_SIDE, PictureKey, Pictures
from catsdogs.report.tiles import Tile, TileMaker
from catsdogs.runs.run_card import Run
from catsdogs.scoring.comparison import Comparison

if TYPE_CHECKING:
    from jinja2 import Template

TABLE_CLASSES = 10  # with more, balance and confusion are diagrams
CONFUSIONS = 15
LISTED = 20
_PLACEHOLDER = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' width='64' height='48'%3E"
    "%3Crect width='64' height='48' fill='%23888'/%3E%3C/svg%3E"
)


def wanted_pictures(evidence: Evidence, chosen: Choices) -> set[PictureKey]:
    """The pictures that the page shows."""
    train, test = evidence.first.ids["train"], evidence.first.ids["test"]
    rows = np.concatenate([*chosen.samples.values(), chosen.worst, chosen.doubtful])
    return {
        *(PictureKey("train", str(id), GALLERY_SIDE) for id in train[rows]),
        *(PictureKey("test", str(id), GALLERY_SIDE) for id in test[chosen.test_sample]),
        *(PictureKey(suspect.split, suspect.id, GALLERY_SIDE) for suspect in chosen.suspects),
        *(PictureKey("train", str(id), MAP_SIDE) for id in train[chosen.map_rows]),
    }


def render_page(
    evidence: Evidence,
    chosen: Choices,
    projection: Projection,
    pictures: Pictures,
    compared: Comparison | None,
    curves: str,
) -> str:
    """The whole page as HTML.

    Args:
        pictures: those `wanted_pictures`; none where the photographs are gone.
        curves: the learning curves as a data URI, empty where there are none.
    """
    from sklearn.metrics import confusion_matrix

    names, tiles = evidence.classes, TileMaker(evidence, pictures)
    right, said = evidence.labels[evidence.scored], evidence.probabilities[evidence.scored].argmax(axis=1)
    matrix = confusion_matrix(right, said, labels=range(len(names)))
    before, after = (_reliability(evidence, p) for p in (evidence.raw_probabilities, evidence.probabilities))
    drawn = _quality_figures(evidence, matrix, before, after)
    map_caption = captions.describe_map(projection.explained, len(chosen.map_rows), evidence)
    points = _points(evidence, chosen, projection, pictures, tiles)
    drawn["map"] = figures.draw_map(points, bool(pictures)), map_caption
    return _template().render(
        run=evidence.run,
        evidence=evidence,
        baseline=captions.describe_baseline(evidence),
        embedded=figures.embed_figures({name: figure for name, (figure, _) in drawn.items()}),
        captions={name: caption for name, (_, caption) in drawn.items()},
        confusion=captions.describe_confusion(matrix),
        has_pictures=bool(pictures),
        facts=_facts(evidence),
        unreadable=sorted({(row.split, row.id, row.reason) for file in evidence.files for row in file.unreadable}),
        samples=[(names[label], [tiles.sample(row) for row in rows]) for label, rows in chosen.samples.items()],
        matrix=matrix.tolist() if len(names) <= TABLE_CLASSES else None,
        mistakes=[(names[label], names[n], rows) for label, n, rows in measures.confusions(matrix)[:CONFUSIONS]],
        bins=after,
        curves=curves,
        compared=compared,
        test_sample=[tiles.tile("test", row) for row in chosen.test_sample],
        worst=[tiles.tile("train", row) for row in chosen.worst],
        cost_of_worst=float(evidence.losses[chosen.worst].sum() / np.nansum(evidence.losses)),
        doubtful=[tiles.tile("train", row) for row in chosen.doubtful],
        suspects=_suspects_section(evidence, [tiles.suspect(suspect) for suspect in chosen.suspects]),
        map_legend=figures.map_legend(names),
        LISTED=LISTED,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _template() -> "Template":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("catsdogs.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": captions.counted, "percent": captions.percent, "when": _when, "bar": _bar}
    environment.filters["colour"] = figures.class_colour
    return environment.get_template("report.html")


def _quality_figures(
    evidence: Evidence, matrix: Any, before: Sequence[Bin], after: Sequence[Bin]
) -> dict[str, tuple[Any, str]]:
    """Name -> the figure and its caption; those that make no sense for this run are absent."""
    names = evidence.classes
    drawn = {}
    if len(names) > TABLE_CLASSES:
        counts = matrix.sum(axis=1)
        drawn["balance"] = figures.draw_balance(names, counts), captions.describe_balance(names, counts)
        drawn["confusion"] = figures.draw_confusion(names, matrix), captions.describe_confusion(matrix)
    sizes = {split: values[:, :2] for split, values in evidence.first.statistics.items() if len(values)}
    if sizes:
        drawn["sizes"] = figures.draw_sizes(sizes), captions.describe_sizes(sizes)
    label = captions.probability_label(evidence)
    share = f"share of {names[1]}" if len(names) == 2 else "share that is right"
    figure = figures.draw_calibration({"before calibration": before, "after": after}, label, share)
    drawn["calibration"] = figure, captions.describe_calibration(before, after, evidence)
    if len(evidence.test_probabilities):
        out_of_fold = evidence.probabilities[evidence.scored]
        test, train = map(measures.shown_probabilities, (evidence.test_probabilities, out_of_fold))
        figure = figures.draw_probabilities(test, train, label)
        drawn["probabilities"] = figure, captions.describe_probabilities(test, train, evidence)
    return drawn


def _points(
    evidence: Evidence, chosen: Choices, projection: Projection, pictures: Pictures, tiles: TileMaker
) -> dict[str, Any]:
    """The columns of the map, a row for each point."""
    rows, names = chosen.map_rows, evidence.classes
    reasons = {
        suspect.id: "; ".join(reason.text for reason in suspect.reasons)
        for suspect in evidence.suspects
        if suspect.split == "train"
    }
    ids = [str(id) for id in evidence.first.ids["train"][rows]]
    labels, likeliest = evidence.labels[rows], evidence.probabilities[rows].argmax(axis=1)
    probabilities, scored = evidence.probabilities[rows].max(axis=1), evidence.scored[rows]
    says = [
        f"out of fold: {names[n]} {p:.4f}" if known else "learnt in every fold"
        for n, p, known in zip(likeliest, probabilities, scored, strict=True)
    ]
    shown = [pictures.get(PictureKey("train", id, MAP_SIDE)) for id in ids]
    not_shown = [f"not shown: {picture.reason}" if picture and picture.reason else "" for picture in shown]
    notes = [[reasons.get(id, ""), *tiles.marks(id), why] for id, why in zip(ids, not_shown, strict=True)]
    columns = {
        "id": ids,
        "class": [f"labelled {names[label]}" for label in labels],
        "says": says,
        "note": ["; ".join(filter(None, note)) for note in notes],
        "wrong": (scored & (labels != likeliest)).tolist(),
    }
    if pictures:
        columns["picture"] = [(picture.uri if picture else "") or _PLACEHOLDER for picture in shown]
    return columns | {
        "x": projection.points[:, 0],
        "y": projection.points[:, 1],
        "label": labels,
        "loss": np.nan_to_num(evidence.losses[rows]),
        "ringed": [id in reasons for id in ids],
    }


def _reliability(evidence: Evidence, probabilities: Any) -> list[Bin]:
    """The bins of some probabilities, of which the second of two classes, of many the likeliest, came true or not."""
    labels, probabilities = evidence.labels[evidence.scored], probabilities[evidence.scored]
    came_true = labels == 1 if len(evidence.classes) == 2 else probabilities.argmax(axis=1) == labels
    return measures.reliability(measures.shown_probabilities(probabilities), came_true)


def _facts(evidence: Evidence) -> list[tuple[str, str]]:
    """What was run, as pairs of a term and a text."""
    run = evidence.run
    settings = ", ".join(f"{name} = {value}" for name, value in run.settings.items() if value is not None)
    test = f"{run.test_rows:,} to predict" if run.test_rows else "none to predict"
    versions = [("catsdogs", run.package_version), *run.versions.items()]
    facts = [
        ("Command", run.command),
        ("Date", _when(run.created)),
        ("Asked for", f"{description.wanted(run.task, run.classes)}, scored by {run.task.metric}"),
        ("Head", f"{run.head}{f' ({settings})' if settings else ''}"),
        ("Photographs", f"{run.train_rows:,} to learn from, {test}, from {run.source}"),
        ("Cross-validation", f"{run.folds} folds, seed {run.seed}"),
        ("Calibration", _calibration_in_words(run)),
        ("Left out", _first_listed(run.dropped) or "none"),
        ("Relabelled", _first_listed([f"{id} as {label}" for id, label in run.relabelled.items()]) or "none"),
        ("Versions", ", ".join(f"{name} {text}" for name, text in versions)),
    ]
    if run.protocol:
        facts.insert(5, ("Protocol", f"{run.protocol}: the test photographs are labelled ones that were held out"))
    return facts


def _calibration_in_words(run: Run) -> str:
    calibration = run.calibration
    how = f"temperature {calibration.temperature:.3g}" if calibration.temperature != 1 else "no temperature helps"
    but = "" if run.submitted_calibration == calibration else f", but for {run.task.metric}, which looks at their order"
    return f"{how}; probabilities are kept {calibration.clip:.2g} away from 0 and 1{but}"


def _first_listed(items: Sequence[str]) -> str:
    more = f" and {len(items) - LISTED:,} more" if len(items) > LISTED else ""
    return ", ".join(items[:LISTED]) + more


def _suspects_section(evidence: Evidence, shown: Sequence[Tile]) -> dict[str, Any]:
    """The tiles shown, and for each kind of reason how many are shown of how many."""
    shown_kinds = [kind for tile in shown for kind in tile.kinds]
    counts = Counter(kind for suspect in evidence.suspects for kind in kinds_of(suspect))
    kinds = [(kind, shown_kinds.count(kind), count) for kind, count in counts.most_common()]
    return {"tiles": shown, "kinds": kinds, "total": len(evidence.suspects)}


def _when(moment: str | float) -> str:
    """`2026-11-22T14:00:49+00:00`, or as many seconds since 1970 -> `22 November 2026, 14:00 UTC`."""
    time = datetime.fromisoformat(moment) if isinstance(moment, str) else datetime.fromtimestamp(moment, UTC)
    time = time.astimezone(UTC)
    return f"{time.day} {time:%B %Y, %H:%M} UTC"


def _bar(share: float) -> str:
    """A length in CSS."""
    return f"{100 * share:.2f}%"
