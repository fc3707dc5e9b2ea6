"""The report and the web page as a user meets them: the real commands, a real server, a real browser."""

import contextlib
import csv
import json
import re
import shlex
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from invoke import Context

from benchmarks import page as benchmark
from catsdogs.cleaning import decisions
from catsdogs.commands import web
from catsdogs.commands.settings import Flags
from catsdogs.networks import weights
from catsdogs.networks.table import BACKBONES
from catsdogs.runs import run_card
from tests.support.browser import complaints, launch
from tests.support.datasets import draw_data
from tests.support.hostile import UPLOADS

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parents[2]
LITE = BACKBONES["EfficientNetLite0"]
RUN = "first"
REVIEWED = 10


def catsdogs(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the console script's in a folder."""
    script = "from catsdogs.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


# Several commands in one process, which so imports what they need once.
ONE_AFTER_ANOTHER = """
import json, sys
from catsdogs.cli import main
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["catsdogs", *arguments]
    try:
        main()
    except SystemExit as stop:
        assert not stop.code, arguments
"""


@contextlib.contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[str]:
    """The address of a server on a free port, which answers; it is stopped as Ctrl-C would."""
    command = [sys.executable, "-c", "from catsdogs.cli import main; main()", "serve", "--port", "0", *arguments]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            address = next(filter(None, (re.match(r"http://\S+", line) for line in process.stdout)), None)
            assert address, "the server ended before it listened"
            yield address[0]
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with drawn pictures, their features, suspects, a run and its report."""
    if weights.find_file(LITE, None) is None:
        pytest.skip(f"{LITE.package} is not installed")
    root = draw_data(tmp_path_factory.mktemp("pages"), 16, 10, 12)
    stages = (
        ("features", "--data", "data", "--backbones", LITE.name),
        ("outliers", "--backbones", LITE.name),
        ("train", "--backbones", LITE.name, "--head", "ridge", "--name", RUN),
        ("report", "--name", RUN),
    )
    done = subprocess.run([sys.executable, "-c", ONE_AFTER_ANOTHER, json.dumps(stages)], cwd=root, capture_output=True)
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture(scope="module")
def server(project: Path) -> Iterator[str]:
    with serving(project) as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    with launch() as chromium:
        yield chromium


@pytest.fixture
def page(browser: "Browser") -> "Iterator[Page]":
    """A tab in which nothing may go wrong: no error on the console, no request that fails."""
    with contextlib.closing(browser.new_page()) as tab:
        noted = complaints(tab)
        yield tab
        assert noted == []


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as text:
        return list(csv.DictReader(text))


def test_suspects_and_the_run_that_predicts_are_of_one_folder(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A newer run on other features, such as the demo's, does not hide what was just listed."""
    monkeypatch.chdir(tmp_path)
    assert web.what_to_show(Flags(Context())) == (None, Path("features"))
    text = (project / "submissions" / RUN / "run.json").read_text()
    for name, features, created in ((RUN, "features", "2026-01-01"), ("demo", "features/demo", "2026-01-02")):
        folder = tmp_path / "submissions" / name
        folder.mkdir(parents=True)
        changed = json.loads(text) | {"name": name, "features": features, "created": f"{created}T00:00:00+00:00"}
        (folder / "run.json").write_text(json.dumps(changed))

    def shown(name: str | None = None, features: str | None = None) -> tuple[str | None, str]:
        run, folder = web.what_to_show(Flags(Context(), name=name, features=features))
        return run and run.name, str(folder)

    assert shown() == ("demo", "features/demo")
    (tmp_path / "features").mkdir()
    shutil.copy(project / "features" / f"{LITE.name}.h5", tmp_path / "features")
    assert shown() == (RUN, "features")
    assert shown(name="demo") == ("demo", "features/demo")
    for folder in ("features/demo", "elsewhere"):  # of features, given by hand, that must be there
        (tmp_path / folder).mkdir()
    assert shown(features="features/demo") == ("demo", "features/demo")
    assert shown(features="elsewhere") == (None, "elsewhere")


def test_the_report_opens_without_a_network(project: Path, page: "Page") -> None:
    page.goto((project / "submissions" / RUN / run_card.REPORT_FILE).as_uri())
    assert RUN in page.title() and page.locator("img").count() > 20


def test_the_page_and_the_csv_agree(project: Path, server: str) -> None:
    benchmark.wait_until_ready(server)
    submitted = {row["id"]: float(row["label"]) for row in rows(project / "submissions" / RUN / "submission.csv")}
    for id in list(submitted)[:4]:
        status, answer = benchmark.ask(server, id, (project / "data" / "test" / f"{id}.jpg").read_bytes())
        assert status == 200
        assert answer["results"][0]["probabilities"]["dog"] == pytest.approx(submitted[id], abs=1e-3)


def test_a_photograph_and_a_damaged_file_are_answered(project: Path, server: str, browser: "Browser") -> None:
    from playwright.sync_api import expect

    cat = project / "data" / "train" / "cat.0.jpg"
    damaged = project / "damaged.jpg"
    damaged.write_bytes(cat.read_bytes()[:1000])
    with contextlib.closing(browser.new_page()) as page:
        noted = complaints(page)
        page.goto(server)
        page.set_input_files("#files", [cat, damaged])
        expect(page.locator("#answers > :not([aria-busy])")).to_have_count(2, timeout=120_000)
        answered = page.locator("#answers > .answer:not(.refused)")
        assert re.search(r"A (cat|dog), \d+(\.\d+)? ?%|No cat or dog here", answered.inner_text())
        assert LITE.name in answered.inner_text()
        expect(answered.locator("ol img")).to_have_count(5)
        refused = page.locator("#answers > .refused").inner_text()
        assert "damaged.jpg" in refused and "cannot be read" in refused
    assert len(noted) == 1 and "415" in noted[0]  # what the browser itself notes of the refused file


def test_suspects_are_reviewed_with_the_keyboard(project: Path, server: str, page: "Page") -> None:
    from playwright.sync_api import expect

    suspects = [row["id"] for row in rows(project / "features" / "outliers.csv") if row["split"] == "train"]
    assert len(suspects) >= REVIEWED
    page.goto(f"{server}/review")
    page.wait_for_selector("#cards .card")
    page.locator("#cards .card").first.focus()
    keys = ("drop", "relabel", *["keep"] * (REVIEWED - 2))
    for word in keys:
        page.keyboard.press(word[0])
    page.keyboard.press("k")  # one too many,
    with page.expect_response("**/api/decisions/undo"):  # the last of all, for they are sent one after the other
        page.keyboard.press("u")  # taken back
    page.reload()
    expect(page.locator("#count")).to_have_text(re.compile(f"^{REVIEWED} of "))
    written = decisions.read_decisions(project / "features" / decisions.DECISIONS_FILE, ("cat", "dog"))
    assert [decision.decision for decision in written.values()] == list(keys)
    on_screen = 4  # stay where they are; those below are ordered anew by what was decided
    assert list(written)[:on_screen] == suspects[:on_screen] and set(written) <= set(suspects)
    done = catsdogs(project, "train", "--backbones", LITE.name, "--head", "ridge", "--name", "reviewed")
    assert done.returncode == 0, done.stderr
    run = json.loads((project / "submissions" / "reviewed" / "run.json").read_text())
    assert run["dropped"] == suspects[:1] and list(run["relabelled"]) == suspects[1:2]


def test_a_double_click_is_one_decision_and_a_click_takes_it_back(project: Path, server: str, page: "Page") -> None:
    from playwright.sync_api import expect

    path = project / "features" / decisions.DECISIONS_FILE
    before = rows(path) if path.exists() else []
    page.goto(f"{server}/review")
    card, undo = page.locator("#cards .card").last, page.locator("#undo")
    expect(card).to_be_attached()
    expect(undo).to_be_disabled()
    with page.expect_response("**/api/decisions"):
        card.get_by_role("button", name="Drop").dblclick()
    expect(card).to_have_accessible_name(re.compile("dropped"))
    with page.expect_response("**/api/decisions/undo"):
        undo.click()
    expect(undo).to_be_disabled()
    assert rows(path) == before


def test_an_answer_of_many_classes_and_without_reasons_is_shown_whole(
    project: Path, server: str, browser: "Browser"
) -> None:
    names = {f"soft_coated_wheaten_terrier_of_the_{ordinal}_kind": 0.2 for ordinal in ("1st", "2nd", "3rd", "4th")}
    answer = {"name": "x", "class": "boxer", "probabilities": {"boxer": 0.2, **names}, "no_pet": False}
    content = {"run": {"no_neighbours": ""}, "results": [answer | {"labels": {}, "neighbours": []}]}
    benchmark.wait_until_ready(server)
    with contextlib.closing(browser.new_page(viewport={"width": 390, "height": 800})) as page:
        page.route("**/api/predict", lambda route: route.fulfill(json=content))
        page.goto(server)
        page.set_input_files("#files", project / "data" / "train" / "cat.0.jpg")
        page.wait_for_selector("#answers > :not([aria-busy])")
        assert "null" not in page.locator("#answers").inner_text()
        widths = {round((meter.bounding_box() or {"width": 0})["width"]) for meter in page.get_by_role("meter").all()}
        assert len(widths) == 1 and widths.pop() > 20


def test_runs_lead_to_their_reports(project: Path, server: str, page: "Page") -> None:
    page.goto(f"{server}/runs")
    with page.expect_navigation():
        page.locator("a", has_text=f"report of {RUN}").click()
    assert page.url.endswith(f"/runs/{RUN}/report") and RUN in page.title()


@pytest.mark.parametrize("name", UPLOADS)
def test_a_bad_upload_is_refused_in_a_sentence(server: str, name: str) -> None:
    benchmark.wait_until_ready(server)
    status, answer = benchmark.ask(server, UPLOADS[name].filename, UPLOADS[name].make())
    assert 400 <= status < 500
    assert answer["error"].endswith(".") and "Traceback" not in str(answer)


def test_after_all_of_them_the_server_answers(project: Path, server: str) -> None:
    status, answer = benchmark.ask(server, "cat.0", (project / "data" / "train" / "cat.0.jpg").read_bytes())
    assert status == 200 and len(answer["results"]) == 1


def test_clients_at_once_are_all_answered(project: Path, server: str) -> None:
    benchmark.wait_until_ready(server)
    photographs = sorted((project / "data" / "test").glob("*.jpg"))
    load = benchmark.press(server, photographs, clients=4, seconds=2)
    assert load.errors == [] and len(load.latencies) >= 4


def test_the_container_is_what_it_says() -> None:
    """An engine to build it with is rare; but what it copies and imports is there, and it does not run as root."""
    lines = (ROOT / "Dockerfile").read_text().replace("\\\n", "").splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    for kind, rest in steps:
        if kind == "COPY":
            assert all((ROOT / source).exists() for source in shlex.split(rest)[:-1])
    assert [rest for kind, rest in steps if kind == "USER"] == ["catsdogs"]
    (made,) = (rest for kind, rest in steps if kind == "RUN" and rest.startswith("python -c"))
    statements = shlex.split(made)[2].split("; ")
    exec("\n".join(line for line in statements if line.startswith("from ")), {})
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert ignored[0] == "**" and {"!pyproject.toml", "!README.md", "!catsdogs"} <= set(ignored)


def test_the_containers_health_check(server: str) -> None:
    (check,) = re.findall(r"CMD (\[\"python\", .*\])", (ROOT / "Dockerfile").read_text())
    command = [part.replace("http://127.0.0.1:5000", server) for part in json.loads(check)]
    command[0] = sys.executable
    assert subprocess.run(command, check=False).returncode == 0
    command[-1] = command[-1].replace("/healthz", "/nowhere")
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


def test_other_names_are_other_machines(server: str) -> None:
    request = urllib.request.Request(f"{server}/healthz", headers={"Host": "attacker.example"})
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(request)
