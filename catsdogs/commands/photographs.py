"""Photographs on the command line: `look` says what they are for, `shards` packs them into TFRecord files."""

import shlex
from pathlib import Path

from catsdogs.commands.console import next_steps, say, say_rows, say_unreadable, task
from catsdogs.commands.flags import as_flags, reading, scan_dataset
from catsdogs.commands.settings import Flags, optional_number
from catsdogs.errors import UnknownNameError


@task("data labels images positive kind groups metric competition classes holdout")
def look(flags: Flags) -> None:
    """Say what a competition asks for: ids, answer, metric, labels, what is left alone; no photograph is opened."""
    from catsdogs.front.reading import read

    read(flags.place("data"), **reading(flags))
    read_so = {name: flags.text(name) for name in ("labels", "images", "positive", "kind", "groups", "metric")}
    next_steps(f"features{as_flags(flags, data=str(flags.place('data')), **read_so)}")


@task(
    "format data classes holdout count size out",
    format="tfrecord, which TensorFlow reads",
    count="TFRecord files of the training photographs; as many as make some 50 MB each if not given",
    size="resize to squares of so many pixels; the original bytes if not given",
    out="the folder to write to",
)
def shards(flags: Flags, format: str = "tfrecord", out: str = "shards") -> None:
    """Pack photographs, labels and ids into TFRecord files; features and finetune take the folder as --data."""
    from catsdogs.photographs import tfrecord, tfrecord_writer

    if format != "tfrecord":
        raise UnknownNameError("format of shards", format, ["tfrecord"])
    files, side = optional_number("count", flags.count), optional_number("size", flags.size)
    dataset = scan_dataset(flags)
    for note in dataset.notes:
        say(note)
    summary = tfrecord_writer.write_record_files(dataset, Path(out), files, side)
    manifest = summary.folder / tfrecord.MANIFEST
    say_unreadable(summary.unreadable, manifest, is_written=True)
    say_rows(
        [(summary.folder / file.file, f"{file.rows:,} rows, {file.bytes / 1e6:.1f} MB") for file in summary.files],
        lambda path, what: f"wrote {path}  ({what})",
        manifest,
    )
    if summary.odd_sizes:
        say("Shards of 10 to 100 MB read best; another --count gives other sizes")
    next_steps(f"features --data {shlex.quote(out)}")
