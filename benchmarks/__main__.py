"""`python -m benchmarks`: everything side by side on the same photographs, written to docs/benchmarks.md."""

import argparse
import shlex
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import accuracy, loader, page, photographs, report, rows
from benchmarks.contenders import COLUMNS, Column, by_name
from benchmarks.report import Record
from benchmarks.rows import CLASSIC, LITE0, MEMORY_COUNTS, ROWS, Failure, Measurement, Row
from catsdogs.errors import CatsdogsError, DatasetError, UnknownNameError, UsageError
from catsdogs.files.atomic import replacing
from catsdogs.networks.table import SHORTHANDS
from catsdogs.photographs.dataset import Dataset, scan, scan_unlabelled
from catsdogs.progress import Progress

LIMIT = 32
ROUNDS = 3
OUT = Path("docs/benchmarks.md")
_TRIAL_PHOTOGRAPHS = 64  # of which the contenders make batches of the size that the rounds have


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write the report; or, if the first argument is `loader`, that part of it."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == ["loader"]:
        return loader.main(given[1:])
    options = _parse(given)
    try:
        for record in benchmark(options):
            with replacing(options.out) as temporary:
                temporary.write_text(report.render(record) + page.kept(options.out), encoding="utf-8")
    except CatsdogsError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("benchmarks: interrupted; finished rounds are in the report", file=sys.stderr)
        return 130
    print(f"wrote {options.out}")
    return 0


def benchmark(options: argparse.Namespace) -> Iterator[Record]:
    """The record after each round; then, where nothing was limited, again after memory and after accuracy."""
    whole = options.limit is None
    limit = LIMIT if whole else options.limit
    if limit < 1 or options.rounds < 1:
        raise UsageError("A limit or a number of rounds below 1", "Give --limit and --rounds numbers above 0")
    chosen, columns = _chosen_rows(options.rows), [column for column in COLUMNS if not column.missing]
    with tempfile.TemporaryDirectory(prefix="catsdogs-bench-") as scratch:
        folder = Path(scratch)
        dataset, paths, described = _photographs(options.data, folder, limit)
        record = Record(
            command=shlex.join(["python", "-m", "benchmarks", *options.arguments]),
            photographs=described,
            limit=limit,
            rows=chosen,
            columns=columns,
            left_out={column.title: column.missing for column in COLUMNS if column.missing},
        )
        cells = [(row, column) for row in record.rows for column in columns if _belongs(row, column)]
        folders = {row.name: photographs.link(folder / row.name, paths, row.share * limit) for row in record.rows}
        broken = _prepare(record, folder)
        cells = [
            (row, column) for row, column in cells if not any((name, column.name) in broken for name in row.backbones)
        ]
        _try_variants(record, cells, folder, folders, paths)
        for _ in _run_rounds(record, cells, options.rounds, folder, folders):
            yield record
        if not whole:
            return
        _measure_memory(record, folder, paths)
        yield record
        names = accuracy.available((*CLASSIC, *SHORTHANDS["lite"]), options.weights_dir)
        if dataset and len(dataset.classes) > 1 and names:
            record.accuracies = accuracy.measure(dataset, names, options.weights_dir, folder / "accuracy")
            yield record


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument("--data", type=Path, help="photographs of your own (default: drawn ones)")
    parser.add_argument(
        "--limit", type=int, help=f"photographs for the slowest network (default {LIMIT}, and more parts)"
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--rows", help=f"only these, of {', '.join(row.name for row in ROWS)}")
    parser.add_argument("--weights-dir", help="real weights, to compare vectors of labelled photographs")
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = parser.parse_args(given)
    options.arguments = given
    return options


def _chosen_rows(names: str | None) -> list[Row]:
    known = {row.name: row for row in ROWS}
    chosen = names.split(",") if names else list(known)
    unknown = next((name for name in chosen if name not in known), None)
    if unknown is not None:
        raise UnknownNameError("row", unknown, list(known))
    return [known[name] for name in chosen]


def _belongs(row: Row, column: Column) -> bool:
    return column.role != "other" or not row.ours_only


def _photographs(data: Path | None, folder: Path, limit: int) -> tuple[Dataset | None, list[Path], str]:
    """The labelled data set if there is one, the files, and what they are."""
    if data is None:
        width, height = photographs.SIZE
        paths = photographs.draw(folder / "drawn", limit)
        kilobytes = sum(path.stat().st_size for path in paths) / len(paths) / 1000
        return None, paths, f"{limit} drawn ones of {width} x {height} pixels, {kilobytes:.0f} KB on average"
    try:
        dataset = scan(data)
    except DatasetError:  # no labels: it serves for speed all the same
        dataset = scan_unlabelled(data)
    files = [row.location.container / row.location.name for row in dataset.photographs]
    missing = next((path for path in files if not path.is_file()), None)
    if missing:
        raise DatasetError(f"{missing} is no file", "Give --data a folder of photographs, unpacked and complete")
    paths = photographs.spread(files, limit * max(row.share for row in ROWS))
    kilobytes = sum(path.stat().st_size for path in paths) / len(paths) / 1000
    return dataset, paths, f"{len(paths):,} of {data}, {kilobytes:.0f} KB on average"


def _prepare(record: Record, folder: Path) -> set[tuple[str, str]]:
    """Convert all networks; which (network, column) cannot be."""
    backbones = list(dict.fromkeys(name for row in record.rows for name in row.backbones))
    with Progress(len(backbones), "converting", "network") as bar:
        for name in backbones:
            columns = [
                column
                for column in record.columns
                if any(_belongs(row, column) for row in record.rows if name in row.backbones)
            ]
            record.failures += rows.prepare(name, columns, folder)
            bar.update()
    return {(failure.row, failure.column) for failure in record.failures}


def _try_variants(
    record: Record, cells: list[tuple[Row, Column]], folder: Path, folders: dict[str, Path], paths: list[Path]
) -> None:
    """Run every variant of a column once, on a few photographs, and choose the fastest for each row."""
    cells = [(row, column) for row, column in cells if column.variants[1:]]
    with Progress(len(cells), "trials", "cell") as bar:
        for row, column in cells:
            linked = folder / "trials" / row.name
            if not linked.exists():
                count = sum(1 for _ in (folders[row.name] / "all").iterdir())
                photographs.link(linked, paths, min(_TRIAL_PHOTOGRAPHS, count))
            answers = {variant: rows.measure(row, column, variant, 0, linked, folder) for variant in column.variants}
            best = _fastest(answers)
            if best and column.addition:
                variant = f"{best} {column.addition}"
                answers[variant] = rows.measure(row, column, variant, 0, linked, folder)
            record.trials[row.name, column.name] = answers
            record.chosen[row.name, column.name] = _fastest(answers) or column.variants[0]
            bar.update()


def _fastest(answers: dict[str, Measurement | Failure]) -> str | None:
    rates = {variant: answer.steady for variant, answer in answers.items() if isinstance(answer, Measurement)}
    return max(rates, key=rates.__getitem__) if rates else None


def _run_rounds(
    record: Record, cells: list[tuple[Row, Column]], rounds: int, folder: Path, folders: dict[str, Path]
) -> Iterator[int]:
    """After each round its number."""
    with Progress(rounds * len(cells), "measuring", "cell") as bar:
        for number in range(1, rounds + 1):
            for row, column in cells:
                variant = record.chosen.get((row.name, column.name), column.variants[0])
                answer = rows.measure(row, column, variant, number, folders[row.name], folder)
                if isinstance(answer, Failure):
                    record.failures.append(answer)
                else:
                    record.measurements.append(answer)
                bar.update()
            yield number


def _measure_memory(record: Record, folder: Path, paths: list[Path]) -> None:
    """The peak of extraction, in bytes, where the number of photographs could show."""
    column = by_name("ours-float32")
    known = {row.name: row for row in ROWS}
    with Progress(len(MEMORY_COUNTS), "memory", "run") as bar:
        for name, count in MEMORY_COUNTS.items():
            row = known["three" if name == "three" else LITE0]
            linked = photographs.link(folder / "memory" / name, paths, count)
            answer = rows.measure(row, column, column.variants[0], 0, linked, folder)
            if isinstance(answer, Failure):
                record.failures.append(answer)
                record.memory.clear()
                return
            record.memory[name] = answer.memory
            bar.update()


if __name__ == "__main__":
    sys.exit(main())
