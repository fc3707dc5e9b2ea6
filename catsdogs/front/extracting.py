"""Extracting: networks run over photographs, once; `extract` writes feature files and opens them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from catsdogs.competition import grading
from catsdogs.features import extract as extraction
from catsdogs.features import feature_file
from catsdogs.features.extract import Extraction, Settings, ThisMachine
from catsdogs.features.feature_file import has_labels
from catsdogs.files import storage
from catsdogs.front.arguments import checked
from catsdogs.front.defaults import DEFAULTS, FEATURES
from catsdogs.front.notes import UNREADABLE_FILE, note, note_unreadable, wrote
from catsdogs.front.places import check_writable, weights_folder
from catsdogs.front.reading import Reading, read
from catsdogs.front.vectors import Features, load, networks
from catsdogs.photographs.dataset import Dataset


@checked()
def extract(
    data: str | Path = DEFAULTS["data"],
    backbones: str | Sequence[str] = DEFAULTS["backbones"],
    *,
    features: str | Path = FEATURES,
    limit: int | None = None,
    weights_dir: str | Path | None = None,
    engine: str = DEFAULTS["engine"],
    precision: str = DEFAULTS["precision"],
    batch_size: int | None = None,
    dtype: str = DEFAULTS["dtype"],
    **how: Unpack[Reading],
) -> Features:
    """Run networks over all photographs, going on where it stopped; what is there already is not computed again.

    Args:
        data: as `look` takes it.
        backbones: names with commas between them, or a list; `lite` is the three embedded EfficientNet-Lites, and
            `Xception@320` a variant. See `catsdogs networks`.
        features: the folder of feature files, which the command line finds as well.
        limit: read at most so many photographs, spread over the data set.
        weights_dir: a folder of weights to look in first; that of the environment's CATSDOGS_WEIGHTS if not given.
        engine, precision, batch_size, dtype: see docs/features.md; of a feature file that is there already, if not
            given.
        how: as `look` takes it, such as metric, classes and holdout.

    Raises:
        DatasetError, UsageError, UnknownNameError: as `look`; no such network, engine or precision.
        WeightsError: weights that are missing or have the wrong hash.
        StoreError: the folder cannot be written, or has files of another data set.
        LockedError: another process is writing them.

    >>> import catsdogs as cd
    >>> cd.extract("pets", ["EfficientNetLite0"])
    <Features EfficientNetLite0: 16 train + 4 test rows x 1,280, classes cat, dog>
    """
    names, folder = networks(backbones), storage.place(str(features))
    settings = Settings(weights_folder(weights_dir), engine, precision, batch_size, dtype)
    check_writable(folder)
    extraction.expect(names, settings, folder)
    return load(folder, extract_files(read(storage.place(str(data)), **how), names, folder, settings, limit))


def extract_files(
    dataset: Dataset,
    names: Sequence[str],
    folder: Path,
    how: Settings,
    limit: int | None = None,
    schedule: ThisMachine | None = None,
) -> list[str]:
    """Write feature files, and note what was written and what could not be read. Returns their names."""
    summary = extraction.extract(dataset, names, folder, how, limit, schedule)
    _note_extracted(summary, folder)
    if dataset.truth:
        truth_file = folder / grading.TRUTH_FILE
        grading.write_truth(truth_file, dataset.truth)
        wrote(truth_file, f"the classes of {len(dataset.truth):,} photographs held out to be test rows")
    if summary.unreadable:
        note(f"unreadable: {len(summary.unreadable):,} of {len(dataset.photographs):,} photographs")
    return list(summary.computed)


def _note_extracted(summary: Extraction, folder: Path) -> None:
    for sentence in summary.notes:
        note(sentence)
    for path in summary.set_aside:
        note(f"damaged, set aside and computed again: {path}")
    note_unreadable(summary.unreadable, folder / UNREADABLE_FILE)
    rows = " + ".join(f"{count:,} {split}" for split, count in summary.rows.items())
    for path, (name, computed) in zip(summary.paths, summary.computed.items(), strict=True):
        recipe = feature_file.recipe_of(path)
        if summary.written[name]:
            wrote(path, f"{rows} rows, {computed:,} of them computed now, {recipe.engine} {recipe.precision}")
        else:
            note(f"{path} is up to date  ({rows} rows, {recipe.engine} {recipe.precision})")
    silent = [name for path, name in zip(summary.paths, summary.computed, strict=True) if not has_labels(path)]
    if silent:
        note(f"vectors only: {', '.join(silent)}, without ImageNet's 1,000 labels, will not vote on outliers")
