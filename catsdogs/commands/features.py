"""Features on the command line: `features` runs networks over photographs, `vectors` writes theirs for others."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from catsdogs.commands.console import next_steps, say, task
from catsdogs.commands.flags import (
    as_flags,
    extraction_settings,
    network_names,
    read_feature_files,
    reading,
    refuse_idle_weights,
)
from catsdogs.commands.settings import HELP, Flags, optional_number
from catsdogs.errors import UnknownNameError, UsageError
from catsdogs.front.places import check_writable

if TYPE_CHECKING:
    from catsdogs.features.extract import ThisMachine


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
    from catsdogs.front.extracting import extract_files
    from catsdogs.front.reading import read
    from catsdogs.networks.choice import Variant, split_names, vary

    how = extraction_settings(flags)
    variants = {field: split_names(getattr(flags, field)) for field in Variant._fields}
    names, folder = vary(network_names(flags), **variants), flags.but(features=flags.out).place("features")
    refuse_idle_weights(flags.weights_dir, names)
    check_writable(folder)
    if flags.cluster is None:
        expect(names, how, folder)
    dataset = read(flags.place("data"), **reading(flags))
    count = optional_number("limit", flags.limit)
    with _schedule(flags) as schedule:
        written = extract_files(dataset, names, folder, how, count, schedule)
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
    from catsdogs.front.notes import wrote
    from catsdogs.front.reading import refuse_idle_data

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
