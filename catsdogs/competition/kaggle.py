"""Kaggle itself: which competition it is, where its archive lies, and a CSV handed in and scored.

The only file that knows Kaggle's client (package `kaggle`, 2.2 or later), which prints, calls `exit()` and waits for
ever. Here every call is silent, has a deadline, and fails as one line. Neither credentials nor signed addresses appear
in a message.
"""

import contextlib
import io
import re
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

from catsdogs.competition.known import DOGS_VS_CATS, KNOWN
from catsdogs.errors import FetchError, SubmissionError, UsageError

COMPETITION = DOGS_VS_CATS
# Where Kaggle's own machines show the data of a competition; those of somebody's data set lie below datasets/ by now.
_MOUNT = re.compile(r"(?:^|/)kaggle/input/(?:competitions/)?(?!datasets(?:/|$)|competitions/?$)([^/]+)")
_NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")

# Deadlines in seconds. A submission of 12,500 rows is 0.3 MB, and Kaggle scores it within seconds on most days.
CALL_SECONDS = 60.0
UPLOAD_SECONDS = 300.0
ANSWER_SECONDS = 240.0
POLL_SECONDS = 3.0

REASON_LENGTH = 300

# Both places are the ones that the client looks into first, see kagglesdk/kaggle_env.py.
CREDENTIALS_REMEDY = (
    "Make a token at https://www.kaggle.com/settings/api and save it as ~/.kaggle/access_token "
    "or set the environment variable KAGGLE_API_TOKEN to it"
)

_Reply = TypeVar("_Reply")


@dataclass(frozen=True)
class UploadAnswer:
    """Kaggle's answer to a submission: `status` is "complete" or "pending", a score is a log loss, or None."""

    status: str
    public_score: float | None
    private_score: float | None
    url: str
    detail: str


def name_of(competition: str) -> str:
    """A competition's name as it was given; UsageError unless it is one as the addresses of Kaggle's pages have it."""
    if not _NAME.fullmatch(competition):
        raise UsageError(
            f"{competition!r} is no name of a competition",
            f"Give the name that its page has in its address, such as {COMPETITION}",
        )
    return competition


def competition_at(place: str) -> str:
    """The competition whose data a path or URL says that it holds, or that holds it; empty if it says nothing."""
    mounted = _MOUNT.search(place)
    if mounted:
        return mounted[1]
    names = [part.removesuffix(".zip") for part in place.split("/")]
    return next((name for name in reversed(names) if name in KNOWN), "")


def archive_url(competition: str = COMPETITION) -> str:
    """The address of the zip with all files of a competition, signed for some minutes: a secret, not to be printed.

    Raises:
        FetchError: the credentials, the rules, the name or the network are in the way.
    """
    api = client()

    def locate() -> str:
        from kagglesdk.competitions.types.competition_api_service import ApiDownloadDataFilesRequest

        request = ApiDownloadDataFilesRequest()
        request.competition_name = competition
        # Only the redirect is followed: the client's own download can save an error page and later append to it.
        with (
            api.build_kaggle_client() as kaggle,
            kaggle.competitions.competition_api_client.download_data_files(request) as response,
        ):
            return str(response.url)

    return _ask(locate, CALL_SECONDS, competition)


def upload(csv: Path, message: str, competition: str = COMPETITION) -> UploadAnswer:
    """Hand a CSV in and wait some minutes for its score; `pending` says that Kaggle has it and is not done.

    Raises:
        FetchError: the file did not reach Kaggle.
        SubmissionError: Kaggle rejected it.
    """
    if not csv.is_file():
        raise SubmissionError(f"{csv} is not there", "Write it first, or give the path of another CSV")
    api = client()
    receipt = _ask(lambda: api.competition_submit(str(csv), message, competition, True), UPLOAD_SECONDS, competition)
    # The client reports a broken upload by a message without a number, and raises nothing.
    if not receipt.ref:
        raise FetchError(
            f"{csv} was not handed in, Kaggle's client says: {receipt.message or 'nothing'}",
            f"Check the network, look at {_page(competition)}/submissions, then submit again",
        )
    return _wait(api, csv, receipt.ref, competition)


def _wait(api: Any, csv: Path, ref: int, competition: str) -> UploadAnswer:
    page = f"{_page(competition)}/submissions"
    detail = "Kaggle has the file and is still scoring it"
    deadline = time.monotonic() + ANSWER_SECONDS
    while True:  # at least once, however late it has become
        try:
            listed = _ask(lambda: api.competition_submissions(competition), CALL_SECONDS, competition)
        except FetchError as error:  # The file has arrived: an answer that got lost is asked for again.
            detail = f"Kaggle has the file, but its score could not be asked for: {error.problem}"
        else:
            entry: Any = next((entry for entry in listed or [] if entry.ref == ref), None)
            status = entry.status.name if entry else "PENDING"
            if status == "ERROR":
                reason = _in_one_line(entry.error_description) or "no reason given"
                raise SubmissionError(f"Kaggle rejected {csv}: {reason}", "Mend the CSV, then submit again")
            if status == "COMPLETE":
                return UploadAnswer("complete", _score(entry.public_score), _score(entry.private_score), page, "scored")
        if time.monotonic() >= deadline:
            return UploadAnswer("pending", None, None, page, detail)
        time.sleep(POLL_SECONDS)


def _score(text: str | None) -> float | None:
    return float(text) if text else None


def client() -> Any:
    """Kaggle's client with its credentials, before any file is sent.

    A token is shown to Kaggle; a user name with a key is only looked for, and refused by the first call that uses it.

    Raises:
        FetchError: the client is not installed, or finds no credentials.
    """

    def connect() -> Any:
        from kaggle.api.kaggle_api_extended import KaggleApi

        api = KaggleApi()
        api.authenticate()
        return api

    try:
        return _ask(connect, CALL_SECONDS)
    except ImportError:
        raise FetchError("Kaggle's client is not installed", 'Run: pip install "catsdogs[kaggle]"') from None
    except SystemExit:
        from kagglesdk.kaggle_env import get_access_token_from_env

        _, place = get_access_token_from_env()
        problem = f"Kaggle does not accept the token in {place}" if place else "No Kaggle credentials were found"
        raise FetchError(problem, CREDENTIALS_REMEDY) from None
    except OSError as error:
        raise FetchError(
            f"Kaggle's client cannot use its folder ({error.strerror}: {error.filename})",
            "Set the environment variable KAGGLE_CONFIG_DIR to a folder that can be written",
        ) from None


def _ask(action: Callable[[], _Reply], seconds: float, competition: str = COMPETITION) -> _Reply:
    """The result of a call to the client; whatever goes wrong on the way to Kaggle is raised as FetchError."""
    from requests import exceptions

    remedy = "Check the network, then run the same command again"
    try:
        return _silent_and_bounded(action, seconds)
    except exceptions.HTTPError as error:
        raise _refusal(error.response, competition) from None
    except (TimeoutError, exceptions.Timeout):
        raise FetchError(f"Kaggle did not answer within {seconds:.0f} seconds", remedy) from None
    except exceptions.ConnectionError:
        raise FetchError("Kaggle cannot be reached", remedy) from None
    except (exceptions.RequestException, ValueError):  # ValueError: an answer that is not JSON, from a proxy perhaps.
        raise FetchError(
            "Kaggle's client could not read the answer",
            "Check the network's proxy and the credentials, then run the same command again",
        ) from None


def _silent_and_bounded(action: Callable[[], _Reply], seconds: float) -> _Reply:
    """Run `action` on a thread that may be left behind, since the client's sockets have no timeout of their own."""
    future: Future[_Reply] = Future()

    def work() -> None:
        try:
            future.set_result(action())
        except BaseException as error:  # Raised again in the caller, the client's SystemExit included.
            future.set_exception(error)

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        Thread(target=work, daemon=True).start()
        return future.result(seconds)


def _refusal(response: Any, competition: str) -> FetchError:
    page, status = _page(competition), response.status_code
    what, remedy = {
        401: ("does not accept the credentials", CREDENTIALS_REMEDY),
        403: (
            f"gives no access to {competition}",
            f"Accept its rules at {page}/rules, then run the same command again",
        ),
        404: (
            f"knows no competition called {competition!r}",
            "Take the name from the address of the competition's page",
        ),
        429: ("cannot serve this now", "Run the same command again in some minutes"),
    }.get(429 if status >= 500 else status, ("refuses the request", f"Mend what it names; see {page}"))
    return FetchError(f"Kaggle {what} (HTTP {status}: {_reason(response)})", remedy)


def _reason(response: Any) -> str:
    """Kaggle's own words; never the text of the client's exception, which holds the address with its signature."""
    try:
        return _in_one_line(response.json()["message"])
    except (ValueError, KeyError, TypeError):
        return _in_one_line(response.reason)


def _in_one_line(text: str | None) -> str:
    return " ".join((text or "").split()).rstrip(".")[:REASON_LENGTH]


def _page(competition: str) -> str:
    return f"https://www.kaggle.com/competitions/{competition}"
