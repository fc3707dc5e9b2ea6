"""The page as HTML: figures with their captions, galleries of tiles, and tables, put into a template."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from catsdogs.report import captions, figures, measures
from catsdogs.report.choices import Choices, kinds_of
from catsdogs.report.evidence import Evidence
from catsdogs.report.measures import Confusion, Projection
from catsdogs.report.pictures import GALLERY_SIDE, MAP_SIDE, PictureKey, Pictures
from catsdogs.report.tiles import Tile, TileMaker
from catsdogs.scoring.calibration import Calibration
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
    tiles = TileMaker(evidence, lambda split, id: pictures.get(PictureKey(split, id, GALLERY_SIDE)))
    drawn = _captioned_figures(evidence, chosen, projection, pictures, tiles)
    return _template().render(
        run=evidence.run,
        evidence=evidence,
        baseline=captions.describe_baseline(evidence),
        embedded=figures.embed_figures({name: figure for name, (figure, _) in drawn.items()}),
        captions={name: caption for name, (_, caption) in drawn.items()},
        has_pictures=bool(pictures),
        facts=_facts(evidence),
        unreadable=sorted({(row.split, row.id, row.reason) for file in evidence.files for row in file.unreadable}),
        classes=_classes(evidence),
        samples=[(evidence.classes[label], tiles.samples(rows)) for label, rows in chosen.samples.items()],
        matrix=_matrix(evidence),
        mistakes=_mistakes(evidence),
        bins=measures.reliability(*_predictions(evidence, evidence.probabilities)),
        curves=curves,
        heads=_heads(evidence, compared),
        test_sample=tiles.test(chosen.test_sample),
        worst=tiles.train(chosen.worst),
        cost_of_worst=float(evidence.losses[chosen.worst].sum() / evidence.losses.sum()),
        doubtful=tiles.train(chosen.doubtful),
        suspects=_suspects_section(evidence, tiles.suspects(chosen.suspects)),
        map_legend=figures.map_legend(evidence.classes),
        map_groups=_map_groups(evidence),
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
    return environment.get_template("report.html")


def _captioned_figures(
    evidence: Evidence, chosen: Choices, projection: Projection, pictures: Pictures, tiles: TileMaker
) -> dict[str, tuple[Any, str]]:
    """Name -> the figure and its caption; those that make no sense for this run are absent."""
    first, names = evidence.first, evidence.classes
    counts = np.bincount(evidence.labels, minlength=len(names))
    drawn = {}
    if len(names) > TABLE_CLASSES:
        drawn["balance"] = figures.draw_balance(names, counts), captions.describe_balance(names, counts)
        matrix, _, caption = _confusion(evidence)
        drawn["confusion"] = figures.draw_confusion(names, matrix), caption
    sizes = {split: values[:, :2] for split, values in first.statistics.items() if len(values)}
    if sizes:
        drawn["sizes"] = figures.draw_sizes(sizes), captions.describe_sizes(sizes)
    before, after = (
        measures.reliability(*_predictions(evidence, p)) for p in (evidence.raw_probabilities, evidence.probabilities)
    )
    label = captions.probability_label(evidence)
    share = f"share of {names[1]}" if len(names) == 2 else "share that is right"
    figure = figures.draw_calibration({"before calibration": before, "after": after}, label, share)
    drawn["calibration"] = figure, captions.describe_calibration(before, after, evidence)
    if len(evidence.test_probabilities):
        test, train = (
            p[:, 1] if len(names) == 2 else p.max(axis=1) for p in (evidence.test_probabilities, evidence.probabilities)
        )
        figure = figures.draw_probabilities(test, train, label)
        drawn["probabilities"] = figure, captions.describe_probabilities(test, train, evidence)
    points = _points(evidence, chosen, projection, pictures, tiles)
    caption = captions.describe_map(projection.explained, len(chosen.map_rows), evidence)
    drawn["map"] = figures.draw_map(points, bool(pictures)), caption
    return drawn


def _points(
    evidence: Evidence, chosen: Choices, projection: Projection, pictures: Pictures, tiles: TileMaker
) -> dict[str, Any]:
    """The columns of the map, a row for each point."""
    reasons = {
        suspect.id: "; ".join(reason.text for reason in suspect.reasons)
        for suspect in evidence.suspects
        if suspect.split == "train"
    }
    names, predicted = evidence.classes, evidence.probabilities.argmax(axis=1)
    columns: dict[str, Any] = {name: [] for name in ("id", "class", "says", "note", "wrong", "picture")}
    for row in chosen.map_rows.tolist():
        id = str(evidence.first.ids["train"][row])
        label, likeliest = int(evidence.labels[row]), int(predicted[row])
        picture = pictures.get(PictureKey("train", id, MAP_SIDE))
        not_shown = [f"not shown: {picture.reason}"] if picture and picture.reason else []
        columns["id"].append(id)
        columns["class"].append(f"labelled {names[label]}")
        columns["says"].append(f"out of fold: {names[likeliest]} {evidence.probabilities[row, likeliest]:.4f}")
        columns["note"].append("; ".join([*filter(None, [reasons.get(id, "")]), *tiles.marks(id), *not_shown]))
        columns["wrong"].append(label != likeliest)
        if pictures:
            columns["picture"].append((picture.uri if picture else "") or _PLACEHOLDER)
    if not pictures:
        del columns["picture"]
    return columns | {
        "x": projection.points[:, 0],
        "y": projection.points[:, 1],
        "label": evidence.labels[chosen.map_rows],
        "loss": evidence.losses[chosen.map_rows],
        "ringed": [id in reasons for id in columns["id"]],
    }


def _map_groups(evidence: Evidence) -> list[tuple[str, str]]:
    """Value and text of what can be made to stand out on the map."""
    groups = [("", "all"), ("ringed", "suspects"), ("wrong", "called something else than their label")]
    return [*groups, *((str(label), f"labelled {name}") for label, name in enumerate(evidence.classes))]


def _predictions(evidence: Evidence, probabilities: Any) -> tuple[Any, Any]:
    """(n,) probabilities and whether they came true: of the second of two classes, of many of the likeliest."""
    if len(evidence.classes) == 2:
        return probabilities[:, 1], evidence.labels == 1
    return probabilities.max(axis=1), probabilities.argmax(axis=1) == evidence.labels


def _confusion(evidence: Evidence) -> tuple[Any, list[Confusion], str]:
    """The confusion matrix, what is taken for what, and the caption."""
    from sklearn.metrics import confusion_matrix

    predicted = evidence.probabilities.argmax(axis=1)
    matrix = confusion_matrix(evidence.labels, predicted, labels=range(len(evidence.classes)))
    pairs = measures.confusions(matrix)
    return matrix, pairs, captions.describe_confusion(pairs, len(evidence.labels))


def _facts(evidence: Evidence) -> list[tuple[str, str]]:
    """What was run, as pairs of a term and a text."""
    run = evidence.run
    settings = ", ".join(f"{name} = {value}" for name, value in run.settings.items() if value is not None)
    test = f"{run.test_rows:,} to predict" if run.test_rows else "none to predict"
    versions = [("catsdogs", run.package_version), *run.versions.items()]
    facts = [
        ("Command", run.command),
        ("Date", _when(run.created)),
        ("Head", f"{run.head}{f' ({settings})' if settings else ''}"),
        ("Photographs", f"{run.train_rows:,} to learn from, {test}, from {run.source}"),
        ("Cross-validation", f"{run.folds} folds, seed {run.seed}"),
        ("Calibration", _calibration_in_words(run.calibration)),
        ("Left out", _first_listed(run.dropped) or "none"),
        ("Relabelled", _first_listed([f"{id} as {label}" for id, label in run.relabelled.items()]) or "none"),
        ("Versions", ", ".join(f"{name} {text}" for name, text in versions)),
    ]
    if run.protocol:
        facts.insert(4, ("Protocol", f"{run.protocol}: the test photographs are labelled ones that were held out"))
    return facts


def _calibration_in_words(calibration: Calibration) -> str:
    how = f"temperature {calibration.temperature:.3g}" if calibration.temperature != 1 else "no temperature helps"
    return f"{how}; probabilities are kept {calibration.clip:.2g} away from 0 and 1"


def _first_listed(items: Sequence[str]) -> str:
    more = f" and {len(items) - LISTED:,} more" if len(items) > LISTED else ""
    return ", ".join(items[:LISTED]) + more


def _classes(evidence: Evidence) -> list[dict[str, Any]]:
    """The classes' sizes, where they fit a table."""
    names, run = evidence.classes, evidence.run
    if len(names) > TABLE_CLASSES:
        return []
    counts = np.bincount(evidence.labels, minlength=len(names)).tolist()
    return [
        {
            "name": name,
            "count": count,
            "share": count / len(evidence.labels),
            "learnt": prior,
            "colour": figures.class_colour(label),
        }
        for label, (name, count, prior) in enumerate(zip(names, counts, run.prior, strict=True))
    ]


def _matrix(evidence: Evidence) -> dict[str, Any] | None:
    """The confusion matrix as a table, where it fits one."""
    if len(evidence.classes) > TABLE_CLASSES:
        return None
    matrix, _, caption = _confusion(evidence)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    return {"counts": matrix.tolist(), "shares": shares.tolist(), "caption": caption}


def _mistakes(evidence: Evidence) -> list[tuple[str, str, int]]:
    """Label, predicted class and number of the most frequent mistakes, where the matrix is a diagram."""
    if len(evidence.classes) <= TABLE_CLASSES:
        return []
    pairs = _confusion(evidence)[1][:CONFUSIONS]
    return [(evidence.classes[pair.label], evidence.classes[pair.predicted], pair.rows) for pair in pairs]


def _heads(evidence: Evidence, compared: Comparison | None) -> dict[str, Any] | None:
    """The table of heads, and when and on what it was made."""
    if compared is None:
        return None
    written = datetime.fromtimestamp(compared.written, UTC).isoformat()
    other = ", so not on the photographs of this run" if compared.rows != evidence.run.train_rows else ""
    note = (
        f"on {_when(written)}: {captions.counted(compared.rows)}, {compared.folds} folds, "
        f"{captions.counted(compared.repeats, 'repeat')}{other}."
    )
    return {"rows": compared.entries, "note": note}


def _suspects_section(evidence: Evidence, shown: Sequence[Tile]) -> dict[str, Any]:
    """The tiles shown, and for each kind of reason how many are shown of how many."""
    shown_kinds = [kind for tile in shown for kind in tile.kinds]
    counts = Counter(kind for suspect in evidence.suspects for kind in kinds_of(suspect))
    kinds = [(kind, shown_kinds.count(kind), count) for kind, count in counts.most_common()]
    return {"tiles": shown, "kinds": kinds, "total": len(evidence.suspects)}


def _when(text: str) -> str:
    """`2026-11-22T14:00:49+00:00` -> `22 November 2026, 14:00 UTC`."""
    time = datetime.fromisoformat(text).astimezone(UTC)
    return f"{time.day} {time:%B %Y, %H:%M} UTC"


def _bar(share: float) -> str:
    """A length in CSS."""
    return f"{100 * share:.2f}%"
