"""Kaggle's real client against a local stand-in that speaks the routes it calls."""

import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catsdogs.competition import fetch, kaggle
from catsdogs.errors import FetchError, SubmissionError
from catsdogs.runs import run_card
from catsdogs.scoring import training_plan
from tests.conftest import Command, opened, write_kaggle_folder
from tests.runs.test_training import features

KEY = "0123456789abcdef-key"
TOKEN = "KGAT_0123456789abcdef-token"
SIGNATURE = "X-Goog-Signature=0123456789abcdef"
SERVICE = "/v1/competitions.CompetitionApiService"
ROOT = Path(kaggle.__file__).parents[2]


class StandIn(http.server.ThreadingHTTPServer):
    """Kaggle as far as the client asks: `refuse` answers a route with a status, `statuses` are what polling sees."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), StandInHandler)
        self.refuse: dict[str, tuple[int, str]] = {}
        self.silent: set[str] = set()
        self.statuses = ["PENDING", "COMPLETE"]
        self.error_description = ""
        self.uploads_to_drop = 0
        self.archive = b""
        self.cuts: list[int] = []
        self.uploaded = b""
        self.submitted: list[dict[str, Any]] = []
        self.calls: list[str] = []
        self.released = threading.Event()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class StandInHandler(http.server.BaseHTTPRequestHandler):
    server: StandIn

    def log_message(self, *args: object) -> None:
        pass

    def answer(self, content: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        route = self.path.rpartition("/")[2]
        self.server.calls.append(route)
        if route in self.server.silent:
            self.server.released.wait(30)
        if route in self.server.refuse:
            status, message = self.server.refuse[route]
            return self.answer({"code": status, "message": message}, status)
        if route == "IntrospectToken":
            return self.answer({"active": request["token"] == TOKEN, "username": "someone"})
        assert self.path.startswith(SERVICE), self.path
        assert self.headers["Authorization"].startswith(("Basic ", "Bearer "))
        if route == "DownloadDataFiles":
            self.send_response(302)
            self.send_header("Location", f"{self.server.url}/storage/archive.zip?{SIGNATURE}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if route == "StartSubmissionUpload":
            return self.answer({"token": "blob-7", "createUrl": f"{self.server.url}/blobs/7?{SIGNATURE}"})
        if route == "CreateSubmission":
            self.server.submitted.append(request)
            return self.answer({"message": "Successfully submitted to Dogs vs. Cats Redux", "ref": 41})
        assert route == "ListSubmissions"
        status = self.server.statuses.pop(0) if len(self.server.statuses) > 1 else self.server.statuses[0]
        older = {"ref": 40, "status": "COMPLETE", "publicScore": "9.9", "privateScore": "9.9"}
        ours: dict[str, Any] = {"ref": 41, "status": status, "errorDescription": self.server.error_description}
        if status == "COMPLETE":
            ours |= {"publicScore": "0.04141", "privateScore": ""}
        return self.answer({"submissions": [older, ours]})

    def do_PUT(self) -> None:
        self.server.calls.append("PUT")
        if self.server.uploads_to_drop:
            self.server.uploads_to_drop -= 1
            self.rfile.read(10)
            self.close_connection = True
            return None
        if "PUT" in self.server.refuse:
            return self.answer({}, self.server.refuse["PUT"][0])
        self.server.uploaded = self.rfile.read(int(self.headers["Content-Length"]))
        return self.answer({})

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.calls.append(f"GET {wanted}" if wanted else "GET")
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        self.send_response(206 if wanted else 200)
        total = len(self.server.archive)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        self.send_header("ETag", '"archive"')
        self.send_header("Content-Length", str(total - start))
        self.end_headers()
        # The client only looks where the archive is; from the second GET on it is downloaded.
        end = start + self.server.cuts.pop(0) if self.server.cuts else total
        self.wfile.write(self.server.archive[start:end])


@pytest.fixture
def bare_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without credentials; must come before the client is imported for the first time."""
    home = tmp_path / "home"
    home.mkdir()
    for name in [name for name in os.environ if name.startswith(("KAGGLE_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return home


@pytest.fixture
def standin(bare_home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[StandIn]:
    pytest.importorskip("kaggle", reason='Kaggle\'s client is not installed: pip install "catsdogs[kaggle]"')
    from kaggle.api.kaggle_api_extended import KaggleApi
    from kagglesdk import kaggle_env

    capfd.readouterr()  # What the client prints when it is imported from here and not by us.
    running = StandIn()
    # The client knows its servers by a table and takes no address from outside.
    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, running.url)
    monkeypatch.setattr(KaggleApi, "config", str(bare_home / "kaggle.json"))
    monkeypatch.setattr(kaggle, "POLL_SECONDS", 0.0)
    yield running
    running.released.set()
    running.shutdown()
    running.server_close()


@pytest.fixture
def signed_in(standin: StandIn, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    monkeypatch.setenv("KAGGLE_USERNAME", "someone")
    monkeypatch.setenv("KAGGLE_KEY", KEY)
    return standin


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    path = tmp_path / "submission.csv"
    path.write_text("id,label\n1,0.5\n2,0.5\n")
    return path


@pytest.fixture(autouse=True)
def nothing_is_printed_or_told(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    yield
    out, err = capfd.readouterr()
    assert out == ""
    assert not any(secret in err for secret in (KEY, TOKEN, SIGNATURE))


def one_line(raised: pytest.ExceptionInfo[FetchError | SubmissionError]) -> str:
    text = str(raised.value)
    assert "\n" not in text
    assert not any(secret in text for secret in (KEY, TOKEN, SIGNATURE, "X-Goog"))
    return text


# Handing in


def test_a_submission_is_uploaded_and_scored(signed_in: StandIn, csv: Path) -> None:
    answer = kaggle.upload(csv, "three networks")
    assert signed_in.uploaded == csv.read_bytes()
    assert signed_in.submitted == [
        {
            "competitionName": kaggle.COMPETITION,
            "blobFileTokens": "blob-7",
            "submissionDescription": "three networks",
        }
    ]
    assert signed_in.calls == ["StartSubmissionUpload", "PUT", "CreateSubmission", "ListSubmissions", "ListSubmissions"]
    assert (answer.status, answer.public_score, answer.private_score) == ("complete", 0.04141, None)
    assert answer.url == f"https://www.kaggle.com/competitions/{kaggle.COMPETITION}/submissions"


def test_a_token_works_as_well_as_a_key(standin: StandIn, csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
    assert kaggle.upload(csv, "with a token").status == "complete"


@pytest.mark.parametrize("route", ["StartSubmissionUpload", "CreateSubmission"])
@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, r"does not accept the credentials \(HTTP 401: Why not\)\. Make a token at https://www\.kaggle\.com"),
        (403, rf"Accept its rules at https://www\.kaggle\.com/competitions/{kaggle.COMPETITION}/rules"),
        (404, rf"knows no competition called '{kaggle.COMPETITION}'"),
        (400, r"refuses the request \(HTTP 400: Why not\)"),
        (429, "in some minutes"),
        (503, r"\(HTTP 503: Why not\)\. Run the same command again in some minutes"),
    ],
)
def test_kaggles_refusals_are_one_line(signed_in: StandIn, csv: Path, route: str, status: int, says: str) -> None:
    signed_in.refuse[route] = (status, "Why not.")
    with pytest.raises(FetchError, match=says) as raised:
        kaggle.upload(csv, "x")
    one_line(raised)
    assert not signed_in.submitted


def test_a_rejected_file_gives_kaggles_reason(signed_in: StandIn, csv: Path) -> None:
    signed_in.statuses = ["PENDING", "ERROR"]
    signed_in.error_description = "Submission must have 12500 rows\nbut has 2."
    with pytest.raises(SubmissionError, match=r"rejected .*\.csv: Submission must have 12500 rows but has 2\. Mend"):
        kaggle.upload(csv, "x")


@pytest.mark.parametrize("status", [400, 503])
def test_a_refused_upload_is_no_submission(signed_in: StandIn, csv: Path, status: int) -> None:
    signed_in.refuse["PUT"] = (status, "")
    with pytest.raises(
        FetchError, match=r"submission\.csv was not handed in.*Could not submit to competition"
    ) as raised:
        kaggle.upload(csv, "x")
    one_line(raised)
    assert not signed_in.submitted


def test_an_upload_that_breaks_halfway_is_no_submission(
    signed_in: StandIn, csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from urllib3.util.retry import Retry

    monkeypatch.setattr(Retry, "sleep", lambda *_: None)
    signed_in.uploads_to_drop = 10_000
    with pytest.raises(FetchError, match=r"was not handed in.*then submit again") as raised:
        kaggle.upload(csv, "x")
    one_line(raised)
    assert not signed_in.submitted
    signed_in.uploads_to_drop = 2  # The client itself tries again.
    assert kaggle.upload(csv, "x").status == "complete"
    assert signed_in.uploaded == csv.read_bytes()


def test_a_score_that_does_not_come_is_pending_not_complete(
    signed_in: StandIn, csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kaggle, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(kaggle, "POLL_SECONDS", 0.05)
    signed_in.statuses = ["PENDING"]
    answer = kaggle.upload(csv, "x")
    assert (answer.status, answer.public_score) == ("pending", None)
    signed_in.refuse["ListSubmissions"] = (503, "busy")
    answer = kaggle.upload(csv, "x")
    assert answer.status == "pending"
    assert "HTTP 503: busy" in answer.detail


def test_silence_is_a_timeout(signed_in: StandIn, csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kaggle.check_credentials()  # The import takes longer than the deadline below.
    monkeypatch.setattr(kaggle, "UPLOAD_SECONDS", 0.2)
    signed_in.silent.add("StartSubmissionUpload")
    with pytest.raises(FetchError, match=r"did not answer within 0 seconds\. Check the network"):
        kaggle.upload(csv, "x")


def test_no_network(signed_in: StandIn, csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kagglesdk import kaggle_env

    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, "http://127.0.0.1:9")
    with pytest.raises(FetchError, match=r"Kaggle cannot be reached\. Check the network"):
        kaggle.upload(csv, "x")


def test_a_csv_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SubmissionError, match=r"none\.csv is not there"):
        kaggle.upload(tmp_path / "none.csv", "x")


# Which competition


@pytest.mark.parametrize(
    ("place", "competition"),
    [
        (f"/kaggle/input/{kaggle.COMPETITION}", kaggle.COMPETITION),
        ("/kaggle/input/leaf-classification", "leaf-classification"),
        ("/kaggle/input/competitions/leaf-classification/train", "leaf-classification"),
        ("/kaggle/input/datasets/someone/leaf-classification", ""),
        ("/kaggle/input/competitions", ""),
        ("/kaggle/input", ""),
        ("/home/me/dog-breed-identification", "dog-breed-identification"),
        ("/home/me/dog-breed-identification/unpacked", "dog-breed-identification"),
        ("/home/me/dog-breed-identification.zip", "dog-breed-identification"),
        ("s3://bucket/dog-breed-identification", "dog-breed-identification"),
        ("/home/me/data/dogs-vs-cats", ""),  # the usual folder, whatever somebody put there
        ("/home/me/photographs", ""),
        ("", ""),
    ],
)
def test_the_name_of_the_photographs_place_tells_the_competition(place: str, competition: str) -> None:
    assert fetch.competition_of(place) == competition


def test_a_place_is_known_by_either_of_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plant-seedlings-classification/work").mkdir(parents=True)
    (tmp_path / "plants").symlink_to(tmp_path / "plant-seedlings-classification")
    (tmp_path / "tpu-getting-started").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path / "plant-seedlings-classification/work")
    assert fetch.competition_of("..") == fetch.competition_of(str(tmp_path / "plants"))
    assert fetch.competition_of("..") == "plant-seedlings-classification"
    assert fetch.competition_of(str(tmp_path / "tpu-getting-started")) == "tpu-getting-started"


def test_what_fetch_left_tells_the_competition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fetch.KAGGLE_COUNTS, "train", 8)
    monkeypatch.setitem(fetch.KAGGLE_COUNTS, "test", 3)
    data = write_kaggle_folder(tmp_path / "data")
    assert fetch.competition_of(str(data)) == ""
    (data / "sample_submission.csv").write_text("id,label\n1,0.5\n2,0.5\n3,0.5\n")
    assert fetch.competition_of(str(data)) == kaggle.COMPETITION
    (data / "train/cat.0.jpg").unlink()
    assert fetch.competition_of(str(data)) == ""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with features of photographs that lie nowhere any more."""
    monkeypatch.chdir(tmp_path)
    features(tmp_path / "features")
    return tmp_path


@pytest.fixture
def uploads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What was uploaded: the arguments, without Kaggle."""
    seen: list[tuple[Any, ...]] = []

    def upload(*arguments: Any) -> kaggle.UploadAnswer:
        seen.append(arguments)
        return kaggle.UploadAnswer("complete", 0.1, None, "https://www.kaggle.com", "scored")

    monkeypatch.setattr(kaggle, "upload", upload)
    return seen


TRAIN = ("train", "--backbones", "ResNet50", "--head", "ridge", "--name", "run")


def recorded(project: Path) -> str:
    return str(json.loads((project / "submissions/run/run.json").read_text())["competition"])


def test_without_a_competition_submit_asks_for_it(
    project: Path, uploads: list[tuple[Any, ...]], command: Command
) -> None:
    code, out, err = command(*TRAIN)
    assert (code, recorded(project)) == (0, ""), err
    assert "submit --name run --competition NAME" in out
    code, _, err = command("submit", "--name", "run")
    assert (code, "which competition the run run is for. Give --competition NAME" in err) == (2, True)
    assert (len(err.strip().splitlines()), uploads) == (1, [])
    code, out, err = command("submit", "--name", "run", "--competition", "leaf-classification")
    assert (code, [arguments[2] for arguments in uploads]) == (0, ["leaf-classification"]), err
    assert "to leaf-classification" in out


def test_a_run_knows_its_competition(project: Path, uploads: list[tuple[Any, ...]], command: Command) -> None:
    code, out, err = command(*TRAIN, "--competition", "leaf-classification")
    assert (code, recorded(project)) == (0, "leaf-classification"), err
    assert "submit --name run\n" in out
    assert command("submit", "--name", "run")[0] == 0
    assert command("submit", "--name", "run", "--competition", "another")[0] == 0
    assert [arguments[2] for arguments in uploads] == ["leaf-classification", "another"]
    code, _, err = command("train", "--repeat", "run", "--name", "again")
    assert code == 0, err
    assert command("submit", "--name", "again")[0] == 0 and uploads[-1][2] == "leaf-classification"


def test_the_folder_of_the_photographs_tells_it_and_its_sample_is_compared_with(
    project: Path, uploads: list[tuple[Any, ...]], command: Command
) -> None:
    data = write_kaggle_folder(project / "dog-breed-identification", test=6)
    sample = data / "sample_submission.csv"
    sample.write_text("id,label\n" + "".join(f"{number},0.5\n" for number in (6, 5, 4, 3, 2, 1)))
    code, _, err = command(*TRAIN, "--data", str(data))
    assert (code, recorded(project)) == (0, "dog-breed-identification"), err
    code, out, err = command("submit", "--name", "run", "--data", str(data))
    assert (code, "6 rows, like the sample submission; to dog-breed-identification" in out) == (0, True), err
    assert uploads[-1][2] == "dog-breed-identification"
    sample.write_text("id,label\n1,0.5\n7,0.5\n")
    code, _, err = command("submit", "--name", "run", "--data", str(data))
    assert (code, "ids of the sample submission are missing" in err, len(uploads)) == (1, True, 1)


def test_a_run_from_before_is_submitted_where_its_photographs_say(
    project: Path, uploads: list[tuple[Any, ...]], command: Command
) -> None:
    assert command(*TRAIN)[0] == 0
    path = project / "submissions/run/run.json"
    content = {name: value for name, value in json.loads(path.read_text()).items() if name not in run_card._SINCE_3}
    content["version"] = training_plan.OLDEST
    for source, competition in (("photographs", None), (f"/kaggle/input/{kaggle.COMPETITION}", kaggle.COMPETITION)):
        path.write_text(json.dumps(content | {"source": source}))
        assert command("submit", "--name", "run")[0] == (0 if competition else 2)
        assert [arguments[2] for arguments in uploads] == [competition] * bool(competition)


@pytest.mark.parametrize("name", ["Dogs vs. Cats", "https://www.kaggle.com/c/x", "a/b", "-", "a--b", "UPPER", "x\n"])
def test_what_is_no_name_of_a_competition_is_refused_before_anything(
    project: Path, uploads: list[tuple[Any, ...]], command: Command, name: str
) -> None:
    code, _, err = command(*TRAIN, "--competition", name)
    assert (code, "is no name of a competition" in err, len(err.strip().splitlines())) == (2, True, 1)
    assert not (project / "submissions").exists() and not uploads


@pytest.mark.parametrize("source", [f"/kaggle/input/{kaggle.COMPETITION}", "photographs"])
def test_only_its_replay_says_that_its_training_photographs_are_easier(
    project: Path, command: Command, source: str
) -> None:
    with opened(project / "features/ResNet50.h5") as file:
        file.attrs["source"] = source
    code, out, err = command("replay", "--backbones", "ResNet50", "--head", "ridge")
    assert (code, "easier than Kaggle's test set" in out) == (0, source != "photographs"), err


@pytest.mark.parametrize("classes", [("cat", "dog"), ("ape", "bee")], ids=str)
@pytest.mark.parametrize("competition", [kaggle.COMPETITION, "leaf-classification", ""])
def test_only_dogs_vs_cats_redux_is_put_beside_its_leaderboard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command, competition: str, classes: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    features(tmp_path / "features", classes=classes)
    assert command(*TRAIN, *(("--competition", competition) if competition else ()))[0] == 0
    Path("truth.csv").write_text("id,label\n" + "".join(f"{number},{number % 2}\n" for number in range(1, 7)))
    code, out, err = command("grade", "--name", "run", "--truth", "truth.csv")
    assert (code, "gold" in out) == (0, competition == kaggle.COMPETITION), err


# Credentials


def test_without_credentials_nothing_is_sent(standin: StandIn, csv: Path) -> None:
    with pytest.raises(FetchError, match=r"No Kaggle credentials .*kaggle\.com/settings/api .*~/\.kaggle/access_token"):
        kaggle.upload(csv, "x")
    assert not standin.calls


def test_a_token_that_kaggle_does_not_know(standin: StandIn, csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", "KGAT_expired")
    with pytest.raises(FetchError, match=r"does not accept the token in KAGGLE_API_TOKEN\. Make a token") as raised:
        kaggle.check_credentials()
    assert "KGAT_expired" not in one_line(raised)


def test_a_token_that_cannot_be_sent(standin: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", f"{TOKEN}\n{TOKEN}")
    with pytest.raises(FetchError, match="Check the network's proxy and the credentials") as raised:
        kaggle.check_credentials()
    one_line(raised)


def test_a_token_that_is_refused(standin: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
    standin.refuse["IntrospectToken"] = (401, "Unauthenticated")
    with pytest.raises(FetchError, match="HTTP 401") as raised:
        kaggle.check_credentials()
    one_line(raised)


def test_a_fresh_process_prints_nothing_and_does_not_exit(bare_home: Path) -> None:
    pytest.importorskip("kaggle", reason='Kaggle\'s client is not installed: pip install "catsdogs[kaggle]"')
    script = """
from catsdogs.competition import kaggle
from catsdogs.errors import FetchError
try:
    kaggle.check_credentials()
except FetchError as error:
    print(error.problem)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "No Kaggle credentials were found\n", "")


def test_a_home_that_cannot_be_written(bare_home: Path) -> None:
    pytest.importorskip("kaggle", reason='Kaggle\'s client is not installed: pip install "catsdogs[kaggle]"')
    (bare_home / "file").touch()
    environment = os.environ | {"KAGGLE_CONFIG_DIR": str(bare_home / "file" / "kaggle")}
    script = "from catsdogs.competition import kaggle; kaggle.check_credentials()"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, env=environment, check=False
    )
    assert "FetchError" in done.stderr
    assert "Set the environment variable KAGGLE_CONFIG_DIR" in done.stderr


def test_without_the_client(bare_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kaggle", None)  # As Python itself marks a package that cannot be imported.
    for name in [name for name in sys.modules if name.startswith("kaggle.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(FetchError, match=r'client is not installed\. Run: pip install "catsdogs\[kaggle\]"'):
        kaggle.check_credentials()


# Downloading


@pytest.mark.parametrize(
    ("status", "says"), [(401, "Make a token"), (403, "Accept its rules at"), (404, "knows no competition")]
)
def test_a_refused_download(signed_in: StandIn, tmp_path: Path, status: int, says: str) -> None:
    signed_in.refuse["DownloadDataFiles"] = (status, "You must accept this competition's rules")
    with pytest.raises(FetchError, match=says) as raised:
        fetch.fetch("kaggle", tmp_path / "data")
    one_line(raised)
    assert not (tmp_path / "data").exists()


def test_a_download_is_resumed_with_a_new_signature(
    signed_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.competition.test_fetch import KAGGLE_FILES, KAGGLE_ZIP, tree

    monkeypatch.setattr(fetch, "ATTEMPTS", 1)
    monkeypatch.setitem(fetch.KAGGLE_COUNTS, "train", 6)
    monkeypatch.setitem(fetch.KAGGLE_COUNTS, "test", 4)
    signed_in.archive = KAGGLE_ZIP
    signed_in.cuts = [100, 3000]
    data = tmp_path / "data"
    with pytest.raises(FetchError, match="connection was cut") as raised:
        fetch.fetch("kaggle", data)
    one_line(raised)
    assert (data / ".kaggle-download" / f"{kaggle.COMPETITION}.zip.part").read_bytes() == KAGGLE_ZIP[:3000]
    assert fetch.fetch("kaggle", data).counts == {"train": 6, "test": 4}
    assert tree(data) == KAGGLE_FILES
    assert signed_in.calls == ["DownloadDataFiles", "GET", "GET", "DownloadDataFiles", "GET", "GET bytes=3000-"]
