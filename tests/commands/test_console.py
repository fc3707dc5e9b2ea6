"""What is printed, on terminals and pipes of any encoding, and what is read from files, whatever the locale."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from catsdogs.commands import console
from tests.faults import specimens
from tests.support.datasets import jpeg

CHECKOUT = Path(__file__).parents[2]
CATSDOGS = ("-c", "from catsdogs.cli import main; main()")
SEVERAL = """
import sys
from catsdogs.cli import main
for command in sys.argv[1:]:
    sys.argv = ["catsdogs", *command.split()]
    try:
        main()
    except SystemExit as ended:
        print(f"ended with {ended.code or 0}")
"""
INVOKE = ("-m", "invoke", "--search-root", str(CHECKOUT))
LANGUAGES = ("LC_ALL", "LC_CTYPE", "LANG", "PYTHONUTF8", "PYTHONIOENCODING", "PYTHONCOERCECLOCALE")
# How a terminal may be set, and its encoding.
TERMINALS = {
    "ascii": ({"PYTHONIOENCODING": "ascii"}, "ascii"),
    "latin-1": ({"PYTHONIOENCODING": "latin-1"}, "latin-1"),
    "cp1252": ({"PYTHONIOENCODING": "cp1252:strict"}, "cp1252"),
    "C": ({"LC_ALL": "C", "PYTHONUTF8": "0"}, "ascii"),
}
if sys.platform == "win32":
    del TERMINALS["C"]


def printed(command: tuple[str, ...], terminal: str, folder: Path) -> str:
    """What a command prints there, on either stream."""
    settings, encoding = TERMINALS[terminal]
    environment = {name: value for name, value in os.environ.items() if name not in LANGUAGES}
    environment |= settings | {"PYTHONPATH": str(CHECKOUT)}
    ended = subprocess.run([sys.executable, *command], env=environment, cwd=folder, capture_output=True)
    text = (ended.stdout + ended.stderr).decode(encoding)
    assert ended.returncode == 0 and "Traceback" not in text, text
    return text


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs of cats in Japanese and of summers in French, one damaged, and a run with a score."""
    root = tmp_path_factory.mktemp("output")
    for number, name in enumerate(("猫/1", "猫/2", "été/1", "été/2")):
        path = root / "写真" / "train" / f"{name}ü.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(number) if number else b"damaged")
    (root / "submissions" / "first").mkdir(parents=True)
    (root / "submissions" / "first" / "run.json").write_bytes(specimens.run_card())
    return root


def as_shown(text: str, terminal: str) -> str:
    """A text as a terminal shows it: what it lacks, in escapes."""
    encoding = TERMINALS[terminal][1]
    return text.encode(encoding, "backslashreplace").decode(encoding)


@pytest.mark.parametrize("terminal", TERMINALS)
def test_names_are_shown_everywhere(terminal: str, folder: Path) -> None:
    out = f"été-{TERMINALS[terminal][1]}-{terminal}"
    commands = (f"shards --data 写真 --out {out}", "status", "features --data 写真 --classes 犬")
    text = printed(("-c", SEVERAL, *commands), terminal, folder)
    assert [line for line in text.splitlines() if line.startswith("ended")] == ["ended with 1"]
    assert as_shown("unreadable, left out: train/猫/1ü (not a picture)", terminal) in text
    assert as_shown(f"wrote {out}/train", terminal) in text and len(list((folder / out).glob("train-*"))) == 1
    assert ("±" if TERMINALS[terminal][1] != "ascii" else "+-") in text
    assert as_shown("Choose from: été, 猫", terminal) in text


@pytest.mark.parametrize("terminal", ["ascii", "C"])
@pytest.mark.parametrize("arguments", [("--list",), ("--help", "features")])
def test_help_is_shown_everywhere(arguments: tuple[str, ...], terminal: str, tmp_path: Path) -> None:
    for program in (CATSDOGS, INVOKE):
        assert "features" in printed((*program, *arguments), terminal, tmp_path)


def test_what_an_encoding_lacks_is_written_plainly() -> None:
    bytes_ = io.BytesIO()
    stream = io.TextIOWrapper(bytes_, "ascii", errors=console._HANDLER)
    stream.write("0.1 ± 0.2, 32³ … 猫\udce9")
    stream.flush()
    assert bytes_.getvalue() == rb"0.1 +- 0.2, 32^3 ... \u732b\udce9"


def test_no_file_is_opened_in_the_locale_s_encoding() -> None:
    ruff = [sys.executable, "-m", "ruff", "check", "--preview", "--isolated", "--select", "PLW1514"]
    checked = subprocess.run(
        [*ruff, "catsdogs", "benchmarks", "tasks.py"], cwd=CHECKOUT, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="where names are no bytes")
def test_a_name_that_is_not_utf_8_is_refused(folder: Path) -> None:
    for terminal in ("ascii", "C"):
        text = printed(("-c", SEVERAL, "features --data caf\udce9"), terminal, folder)
        assert r"catsdogs features: --data 'caf\udce9' is not UTF-8. Rename that file or folder." in text
        assert "ended with 2" in text
