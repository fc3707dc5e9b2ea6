"""Kaggle's real client against a local stand-in that speaks the routes it calls."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from catsdogs.competition import download, fetch, kaggle
from catsdogs.errors import FetchError, SubmissionError
from tests.support.downloads import KAGGLE_FILES, KAGGLE_ZIP, tree
from tests.support.kaggle_server import KEY, SIGNATURE, TOKEN, StandIn

ROOT = Path(kaggle.__file__).parents[2]


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    path = tmp_path / "submission.csv"
    path.write_text("id,label\n1,0.5\n2,0.5\n")
    return path


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
    kaggle.client()  # The import takes longer than the deadline below.
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


# Credentials


def test_without_credentials_nothing_is_sent(standin: StandIn, csv: Path) -> None:
    with pytest.raises(FetchError, match=r"No Kaggle credentials .*kaggle\.com/settings/api .*~/\.kaggle/access_token"):
        kaggle.upload(csv, "x")
    assert not standin.calls


def test_a_token_that_kaggle_does_not_know(standin: StandIn, csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", "KGAT_expired")
    with pytest.raises(FetchError, match=r"does not accept the token in KAGGLE_API_TOKEN\. Make a token") as raised:
        kaggle.client()
    assert "KGAT_expired" not in one_line(raised)


def test_a_token_that_cannot_be_sent(standin: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", f"{TOKEN}\n{TOKEN}")
    with pytest.raises(FetchError, match="Check the network's proxy and the credentials") as raised:
        kaggle.client()
    one_line(raised)


def test_a_token_that_is_refused(standin: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
    standin.refuse["IntrospectToken"] = (401, "Unauthenticated")
    with pytest.raises(FetchError, match="HTTP 401") as raised:
        kaggle.client()
    one_line(raised)


def test_a_fresh_process_prints_nothing_and_does_not_exit(bare_home: Path) -> None:
    pytest.importorskip("kaggle", reason='Kaggle\'s client is not installed: pip install "catsdogs[kaggle]"')
    script = """
from catsdogs.competition import kaggle
from catsdogs.errors import FetchError
try:
    kaggle.client()
except FetchError as error:
    print(error.problem)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "No Kaggle credentials were found\n", "")


def test_a_home_that_cannot_be_written(bare_home: Path) -> None:
    pytest.importorskip("kaggle", reason='Kaggle\'s client is not installed: pip install "catsdogs[kaggle]"')
    (bare_home / "file").touch()
    environment = os.environ | {"KAGGLE_CONFIG_DIR": str(bare_home / "file" / "kaggle")}
    script = "from catsdogs.competition import kaggle; kaggle.client()"
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
        kaggle.client()


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
    monkeypatch.setattr(download, "DOWNLOAD_ATTEMPTS", 1)
    monkeypatch.setitem(fetch.KAGGLE_COUNTS, "train", 6)
    monkeypatch.setitem(fetch.KAGGLE_COUNTS, "test", 4)
    signed_in.archive = KAGGLE_ZIP
    signed_in.cuts = [100, 3000]
    data = tmp_path / "data"
    with pytest.raises(FetchError, match="connection was cut") as raised:
        fetch.fetch("kaggle", data)
    one_line(raised)
    assert (data / ".kaggle-download" / f"{kaggle.COMPETITION}.zip.part").read_bytes() == KAGGLE_ZIP[:3000]
    assert fetch.fetch("kaggle", data)[0] == {"train": 6, "test": 4}
    assert tree(data) == KAGGLE_FILES
    assert signed_in.calls == ["DownloadDataFiles", "GET", "GET", "DownloadDataFiles", "GET", "GET bytes=3000-"]
