"""Measures how the package is laid out: `python -m benchmarks.structure BEFORE .` has a column for each checkout."""

import ast
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

PACKAGE = "catsdogs"
MOST_LINES = 400  # of a file
MOST_FUNCTION_LINES = 50
Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules(checkout: Path, folder: str = PACKAGE) -> list[Path]:
    """The Python files of a folder of a checkout, in order."""
    return sorted((checkout / folder).rglob("*.py"))


def room_of(checkout: Path, path: Path) -> str:
    """The entry at the top of the package that a module lies in: `files` for catsdogs/files/storage.py."""
    return path.relative_to(checkout / PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Every name that a module imports, anywhere in it, in full: `catsdogs.files.storage.place`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms(checkout: Path) -> dict[str, set[str]]:
    """Each entry at the top of the package -> those that it imports from."""
    found: dict[str, set[str]] = {room_of(checkout, path): set() for path in modules(checkout)}
    del found["__init__"]
    for path in modules(checkout):
        own = room_of(checkout, path)
        imported = {name.split(".")[1] for name in imports(path) if name.startswith(f"{PACKAGE}.")}
        if own in found:
            found[own] |= imported & found.keys() - {own}
    return found


def longest_chain(graph: dict[str, set[str]]) -> list[str]:
    """The longest chain of entries of which each imports from the next; empty if some import each other."""
    chains: dict[str, list[str]] = {}
    try:
        for name in TopologicalSorter(graph).static_order():
            chains[name] = [name, *max((chains[other] for other in graph[name]), key=len, default=[])]
    except CycleError:
        return []
    return max(chains.values(), key=len)


def mutual(graph: dict[str, set[str]]) -> list[tuple[str, str]]:
    """Pairs of entries that import from each other."""
    pairs = ((one, other) for one in sorted(graph) for other in sorted(graph[one]) if one < other)
    return [(one, other) for one, other in pairs if one in graph[other]]


def long_files(checkout: Path, folder: str = PACKAGE) -> list[Path]:
    """The files of more than `MOST_LINES` lines."""
    return [path for path in modules(checkout, folder) if lines_of(path) > MOST_LINES]


def long_functions(checkout: Path) -> list[str]:
    """The functions of the package of more than `MOST_FUNCTION_LINES` lines, signature and docstring among them."""
    return [
        f"{path.relative_to(checkout)}: {node.name}"
        for path in modules(checkout)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, Function) and node.end_lineno and node.end_lineno - node.lineno >= MOST_FUNCTION_LINES
    ]


def names_defined_again(checkout: Path) -> list[str]:
    """The names of functions, classes and constants that stand at the top of more than one module of the package."""
    counts = Counter(name for path in modules(checkout) for name in set(_defined(path)))
    return sorted(name for name, count in counts.items() if count > 1)


def lines_of(path: Path) -> int:
    """How many lines a file has."""
    return path.read_text(encoding="utf-8").count("\n")


def _defined(path: Path) -> Iterator[str]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, Function | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (part.id for target in node.targets for part in ast.walk(target) if isinstance(part, ast.Name))


FIGURES: dict[str, Callable[[Path], int]] = {
    "entries at the top of the package": lambda checkout: len(rooms(checkout)),
    "longest chain of imports among them": lambda checkout: len(longest_chain(rooms(checkout))),
    "pairs that import each other": lambda checkout: len(mutual(rooms(checkout))),
    f"files over {MOST_LINES} lines": lambda checkout: len(long_files(checkout)),
    f"test files over {MOST_LINES} lines": lambda checkout: len(long_files(checkout, "tests")),
    f"functions over {MOST_FUNCTION_LINES} lines": lambda checkout: len(long_functions(checkout)),
    "names defined in more than one module": lambda checkout: len(names_defined_again(checkout)),
    "lines of the package": lambda checkout: sum(map(lines_of, modules(checkout))),
    "lines of the tests": lambda checkout: sum(map(lines_of, modules(checkout, "tests"))),
}


def main(checkouts: list[str]) -> None:
    """Print the figures as a Markdown table, a column for each checkout."""
    print("|", " | ".join(["figure", *checkouts]), "|")
    print("| --- " + "| --: " * len(checkouts) + "|")
    for name, figure in FIGURES.items():
        print("|", " | ".join([name, *(f"{figure(Path(checkout)):,}" for checkout in checkouts)]), "|")


if __name__ == "__main__":
    main(sys.argv[1:] or ["."])
