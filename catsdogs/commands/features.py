"""Features on the command line: `features` runs networks over photographs, `vectors` writes theirs for others."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from catsdogs.commands.console import next_steps, say, say_unreadable, task, wrote
from catsdogs.commands.flags import (
    as_flags,
    check_writable,
    extraction_settings,
    network_names,
    read_feature_files,
    refuse_idle_data,
    refuse_idle_weights,
)
from catsdogs.commands.photographs import look_at
from catsdogs.commands.settings import HELP, Flags, optional_number
from catsdogs.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from catsdogs.features.extract import Extraction, Settings, ThisMachine
    from catsdogs.photographs.dataset import Dataset

UNREADABLE_FILE = "unreadable.csv"


@task(
    "data labels images positive kind groups metric competition backbones vector size resize views weights_dir engine "
    "precision batch_size dtype out limit classes holdout devices cluster",
    vector="what is kept of a network: mean, cls, cls+mean or last4; several, separated by commas, each have a file",
    size="side of the networks' input in pixels; several, separated by commas",
    resize="how a photograph becomes a square: squash, crop or pad; several, separated by commas",
    views="flip, the mean vector of a photograph and its mirror image; crops5, that of five crops; or none; or several",
    engine="auto, keras or openvino; auto is that of the feature file, else Keras on a GPU and OpenVINO elsewhere",
    precision="auto, float32, bfloat16 or float16; auto is that of the feature file, else the fastest safe one",
    batch_size="photographs in a batch",
    dtype="how vectors are stored: float32 or float16",
    devices="auto, one or all: auto is every GPU of one model, all is every TPU core or simulated device, too",
    out=HELP["features"],
    limit="read at most so many photographs, spread over the data set",
    cluster="compute on a Ray cluster: its address (host:6379); or auto: the one this machine is in, else this machine",
)
def features(flags: Flags, devices: str = "auto") -> None:
    """Write features/<Backbone>.h5: run all networks over all photographs, in one pass, going on where it stopped."""
    from catsdogs.features.extract import expect
    from catsdogs.networks.choice import Variant, split_names, vary

    how = extraction_settings(flags)
    variants = {field: split_names(getattr(flags, field)) for field in Variant._fields}
    names, folder = vary(network_names(flags), **variants), flags.but(features=flags.out).place("features")
    refuse_idle_weights(flags.weights_dir, names)
    check_writable(folder)
    if flags.cluster is None:
        expect(names, how, folder)
    dataset = look_at(flags)
    count = optional_number("limit", flags.limit)
    with _schedule(flags) as schedule:
        written = extract_features(dataset, names, folder, how, count, schedule)
    backbones = flags.backbones if written == network_names(flags) else ",".join(written)
    found_again = as_flags(flags, backbones=backbones, features=str(folder))
    next_steps(f"outliers{found_again}", f"train{found_again}")


@task(
    "to backbones features data out",
    to="the kind of file: parquet or npz",
    backbones=HELP["backbones"] + "; all in one file",
    out="the file to write; vectors.parquet or vectors.npz if not given",
)
def vectors(flags: Flags, to: str) -> None:
    """Write cached vectors for other programs, with ids, splits and labels, as Parquet or .npz."""
    from catsdogs.features import vector_table

    if to not in vector_table.WRITTEN:
        raise UnknownNameError("kind of file for --to", to, vector_table.WRITTEN)
    target = Path(flags.out or f"vectors.{to}")
    if target.suffix != f".{to}" or target.is_dir():
        raise UsageError(f"--out {target} is no name of a .{to} file", f"Give one that ends in .{to}")
    check_writable(target)
    files = read_feature_files(flags)
    refuse_idle_data(flags.data, files)
    vector_table.write(target, files)
    rows = " + ".join(f"{len(ids):,} {split}" for split, ids in files[0].ids.items())
    wrote(target, f"{rows} rows, {' + '.join(f'{file.name} x {file.width:,}' for file in files)}")
    next_steps("status")


def extract_features(
    dataset: "Dataset",
    names: Sequence[str],
    folder: Path,
    how: "Settings",
    limit: int | None = None,
    schedule: "ThisMachine | None" = None,
) -> list[str]:
    """Write feature files, and show what was written and what could not be read. Returns their names."""
    from catsdogs.features.extract import extract

    summary = extract(dataset, names, folder, how, limit, schedule)
    _say_extracted(summary, folder)
    if dataset.truth:
        from catsdogs.competition import grading

        truth_file = folder / grading.TRUTH_FILE
        grading.write_truth(truth_file, dataset.truth)
        wrote(truth_file, f"the classes of {len(dataset.truth):,} photographs held out to be test rows")
    if summary.unreadable:
        say(f"unreadable: {len(summary.unreadable):,} of {len(dataset.photographs):,} photographs")
    return list(summary.computed)


def _say_extracted(summary: "Extraction", folder: Path) -> None:
    from catsdogs.features import feature_file
    from catsdogs.features.feature_file import has_labels

    for note in summary.notes:
        say(note)
    for path in summary.set_aside:
        say(f"damaged, set aside and computed again: {path}")
    say_unreadable(summary.unreadable, folder / UNREADABLE_FILE)
    rows = " + ".join(f"{count:,} {split}" for split, count in summary.rows.items())
    for path, (name, computed) in zip(summary.paths, summary.computed.items(), strict=True):
        recipe = feature_file.recipe_of(path)
        if summary.written[name]:
            wrote(path, f"{rows} rows, {computed:,} of them computed now, {recipe.engine} {recipe.precision}")
        else:
            say(f"{path} is up to date  ({rows} rows, {recipe.engine} {recipe.precision})")
    silent = [name for path, name in zip(summary.paths, summary.computed, strict=True) if not has_labels(path)]
    if silent:
        say(f"vectors only: {', '.join(silent)}, without ImageNet's 1,000 labels, will not vote on outliers")


@contextlib.contextmanager
def _schedule(flags: Flags) -> "Iterator[ThisMachine | None]":
    """The cluster at an address; None, which is this machine, if none is given."""
    if flags.cluster is None:
        yield None
        return
    try:
        from catsdogs.features.cluster import connected
    except ImportError as error:
        raise UsageError(
            f"--cluster needs Ray Data, which is not installed ({error})", "Install it: pip install 'catsdogs[cluster]'"
        ) from None
    with connected(flags.cluster, flags.number("worker_cores")) as schedule:
        share = "a GPU" if schedule.gpus else "a core" if schedule.cores == 1 else f"{schedule.cores} cores"
        say(f"Ray: {schedule.workers:,} workers with {share} each")
        yield schedule
