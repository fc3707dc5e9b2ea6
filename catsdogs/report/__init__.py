"""A report is a run as one page to look at and pass on: an HTML file that holds its pictures and loads nothing."""

import base64
from collections.abc import Sequence
from pathlib import Path

from catsdogs.features.feature_file import Features
from catsdogs.files.atomic import replacing
from catsdogs.photographs.dataset import Dataset
from catsdogs.report import choices, evidence, kinds, maps, measures, page, pictures
from catsdogs.runs import run_card
from catsdogs.scoring.comparison_file import read_comparison

__all__ = ["write_report"]


def write_report(
    run_folder: Path,
    files: Sequence[Features],
    dataset: Dataset | None,
    comparison: Path,
    weights_dir: str | None = None,
) -> Path:
    """Write `report.html` into the run folder, and return its path.

    Args:
        files: of the run's networks, in its order, as `read_features` gives them.
        dataset: where the photographs are; None if they are gone, then the page says so and shows none.
        comparison: `compare.csv`, which need not be there.
        weights_dir: a folder of weights to look in first, for the maps beside the worst photographs.

    Raises:
        UnknownNameError: no such run.
        StoreError: the files are not those of the run or are damaged; the page cannot be written.
        TrainingError, SubmissionError: `oof.csv`, `submission.csv` or `compare.csv` is damaged.
    """
    collected = evidence.collect_evidence(run_folder, files)
    compared = read_comparison(comparison)
    view = kinds.view_of(collected)
    chosen = choices.choose_photographs(collected, view)
    projection = measures.project_vectors(collected.files, chosen.map_rows)
    thumbnails = pictures.make_pictures(page.wanted_pictures(collected, chosen), dataset, collected)
    explained = maps.make_maps(run_folder, collected, chosen.worst.tolist(), dataset, weights_dir)
    path, curves = run_folder / run_card.REPORT_FILE, run_folder / run_card.LEARNING_CURVES_FILE
    drawn = "data:image/png;base64," + base64.b64encode(curves.read_bytes()).decode() if curves.exists() else ""
    text = page.render_page(collected, view, chosen, projection, thumbnails, compared, drawn, explained)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path
