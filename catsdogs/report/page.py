"""The page as HTML: figures with their captions, galleries of tiles, and tables, put into a template."""

import math
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from catsdogs.photographs import description
from catsdogs.photographs.task import NUMBER
from catsdogs.report import canvas, captions, figures
from catsdogs.report.choices import Choices, kinds_of
from catsdogs.report.evidence import Evidence
from catsdogs.report.kinds.view import Drawn, View
from catsdogs.report.maps import Maps
from catsdogs.report.measures import Projection
from catsdogs.report.pictures import GALLERY_SIDE, MAP_SIDE, PictureKey, Pictures
from catsdogs.report.tiles import Tile, TileMaker
from catsdogs.runs.run_card import Run
from catsdogs.scoring.comparison import Comparison
from catsdogs.scoring.comparison_table import as_measure, measures_beside, noise_in_words

if TYPE_CHECKING:
    from jinja2 import Template

_BALANCED = [("Balance", "rare classes or labels count for as much as frequent ones")]
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
    view: View,
    chosen: Choices,
    projection: Projection,
    pictures: Pictures,
    compared: Comparison | None,
    curves: str,
    maps: Maps,
) -> str:
    """The whole page as HTML.

    Args:
        pictures: those `wanted_pictures`; none where the photographs are gone.
        curves: the learning curves as a data URI, empty where there are none.
        maps: of the worst photographs.
    """
    tiles, groups, paint = TileMaker(evidence, view, pictures), view.groups, view.paint(chosen.map_rows)
    drawn = _size_figures(evidence) | view.draw()
    map_caption = captions.describe_map(projection.explained, len(chosen.map_rows), evidence, paint.note)
    points = _points(evidence, view, chosen, projection, pictures, tiles)
    points |= {"colour": paint.colours, "marker": paint.markers}
    drawn["map"] = figures.draw_map(points, bool(pictures)), map_caption
    return _template(view.template).render(
        view.context(),
        view=view,
        run=evidence.run,
        evidence=evidence,
        embedded=canvas.embed_figures({name: figure for name, (figure, _) in drawn.items()}),
        captions={name: caption for name, (_, caption) in drawn.items()},
        has_pictures=bool(pictures),
        facts=_facts(evidence, view),
        shows_loss=any(math.isfinite(score.log_loss) for score in evidence.run.scores),
        shows_accuracy=any(math.isfinite(score.accuracy) for score in evidence.run.scores),
        unreadable=sorted({(row.split, row.id, row.reason) for file in evidence.files for row in file.unreadable}),
        groups=[name for name, _ in groups],
        samples=[(groups[one][0], [tiles.sample(row) for row in rows]) for one, rows in chosen.samples.items()],
        curves=curves,
        compared=compared,
        beside=measures_beside(compared) if compared else [],
        noise=noise_in_words(compared) if compared else "",
        test_sample=[tiles.tile("test", row) for row in chosen.test_sample],
        **_mistakes_section(view, chosen, tiles),
        suspects=_suspects_section(evidence, [tiles.suspect(suspect) for suspect in chosen.suspects]),
        maps=maps,
        map_legend=paint.legend,
        LISTED=captions.LISTED,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _template(name: str) -> "Template":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("catsdogs.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": captions.counted, "percent": captions.percent, "when": _when, "bar": _bar}
    environment.filters |= {"colour": figures.class_colour, "measure": as_measure}
    return environment.get_template(name)


def _size_figures(evidence: Evidence) -> Drawn:
    """That of widths and heights, where the feature files know them."""
    sizes = {split: values[:, :2] for split, values in evidence.first.statistics.items() if len(values)}
    return {"sizes": (figures.draw_sizes(sizes), captions.describe_sizes(sizes))} if sizes else {}


def _points(
    evidence: Evidence, view: View, chosen: Choices, projection: Projection, pictures: Pictures, tiles: TileMaker
) -> dict[str, Any]:
    """The columns of the map, a row for each point."""
    rows = chosen.map_rows
    reasons = {
        suspect.id: "; ".join(reason.text for reason in suspect.reasons)
        for suspect in evidence.suspects
        if suspect.split == "train"
    }
    ids = [str(id) for id in evidence.first.ids["train"][rows]]
    shown = [pictures.get(PictureKey("train", id, MAP_SIDE)) for id in ids]
    not_shown = [f"not shown: {picture.reason}" if picture and picture.reason else "" for picture in shown]
    notes = [[reasons.get(id, ""), *tiles.marks(id), why] for id, why in zip(ids, not_shown, strict=True)]
    columns = {
        "id": ids,
        "class": [f"labelled {view.label(row)}" for row in rows.tolist()],
        "says": view.says(rows),
        "note": ["; ".join(filter(None, note)) for note in notes],
        "wrong": view.is_wrong[rows].tolist(),
        "cost": [view.cost_in_words(row, 3) if evidence.scored[row] else "" for row in rows.tolist()],
    }
    if pictures:
        columns["picture"] = [(picture.uri if picture else "") or _PLACEHOLDER for picture in shown]
    return columns | {
        "x": projection.points[:, 0],
        "y": projection.points[:, 1],
        "label": view.members(rows),
        "loss": np.nan_to_num(view.costs[rows]),
        "ringed": [id in reasons for id in ids],
    }


def _facts(evidence: Evidence, view: View) -> list[tuple[str, str]]:
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
        ("Cross-validation", _folds_in_words(run)),
        ("Calibration", _calibration_in_words(run)),
        ("Left out", captions.listed(run.dropped) or "none"),
        ("Relabelled", captions.listed([f"{id} as {label}" for id, label in run.relabelled.items()]) or "none"),
        ("Versions", ", ".join(f"{name} {text}" for name, text in versions)),
    ]
    if run.protocol:
        facts.insert(5, ("Protocol", f"{run.protocol}: the test photographs are labelled ones that were held out"))
    place = [term for term, _ in facts].index("Calibration") + 1
    facts[place:place] = [*_groups_in_words(evidence), *view.facts(), *_BALANCED * run.balance]
    return facts


def _folds_in_words(run: Run) -> str:
    """How many folds were dealt how often, and what else the heads learnt than the other folds."""
    several = f"{run.repeats} x " if run.repeats > 1 else ""
    pseudo = f"; test photographs learnt from a probability of {run.pseudo:g}" if run.pseudo else ""
    refitted = "; answers are by a head fitted to all rows" if run.refit else ""
    return f"{several}{run.folds} folds, seed {run.seed}{pseudo}{refitted}"


def _groups_in_words(evidence: Evidence) -> list[tuple[str, str]]:
    """By what rows were grouped, and what folds say that part the groups; nothing where there are none."""
    run, groups = evidence.run, evidence.first.groups
    if not run.grouped_by:
        return []
    count = f", {len(set(groups.tolist())):,} groups" if groups.size else ""
    plain = [str(score) for score in run.scores if "by plain folds" in score.measured_on]
    return [("Groups", "; ".join([f"grouped by {run.grouped_by}{count}, each in one fold", *plain]))]


def _calibration_in_words(run: Run) -> str:
    if run.task.kind == NUMBER:
        return "none: numbers are kept within the range of those learnt from"
    calibration = run.calibration
    how = f"temperature {calibration.temperature:.3g}" if calibration.temperature != 1 else "no temperature helps"
    why = "by thresholds" if run.thresholds else "which looks at their order"
    but = "" if run.submitted_calibration == calibration else f", but for {run.task.metric}, {why}"
    return f"{how}; probabilities are kept {calibration.clip:.2g} away from 0 and 1{but}"


def _mistakes_section(view: View, chosen: Choices, tiles: TileMaker) -> dict[str, Any]:
    """The tiles of the worst and of the most doubtful, and what stands above them."""
    return {
        "worst": [tiles.tile("train", row) for row in chosen.worst],
        "worst_title": "Worst and most doubtful" if len(chosen.doubtful) else "The worst",
        "worst_caption": view.worst(chosen.worst),
        "doubtful": [tiles.tile("train", row) for row in chosen.doubtful],
    }


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
