"""Reviews suspects: the page, its JSON, the thumbnails, and the decisions, which are written at once."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response, render_template, request

from catsdogs.cleaning import decisions, suspect_table
from catsdogs.cleaning.decisions import Allowed, Decision
from catsdogs.cleaning.label_errors import doubted_in
from catsdogs.errors import LockedError, StoreError
from catsdogs.files import atomic
from catsdogs.photographs.task import LABELS
from catsdogs.web import thumbnails
from catsdogs.web.guard import Problem, check_token
from catsdogs.web.site import this_site, thumbnail_url

_MAX_JSON = 10_000  # bytes of a decision

pages = Blueprint("review", __name__)


@pages.get("/review")
def page() -> tuple[str, int]:
    """The grid of suspects, which a script fills."""
    listed, problem = this_site().suspects.exists(), ""
    try:
        if listed:
            _suspects_as_json()
    except StoreError as error:
        problem = str(error)
    content = render_template("review.html", problem=problem, listed=listed, token=this_site().token)
    return content, 409 if problem else 200


@pages.get("/api/suspects")
def listing() -> dict[str, Any]:
    """The suspects, most doubtful first, each with its last decision, and what they may be relabelled as."""
    site = this_site()
    if not site.suspects.exists():
        raise Problem(404, "No suspects are listed yet: `catsdogs outliers` lists them")
    with _problems_shown():
        kind, names = (site.task.kind, site.task.names) if site.task else ("", ())
        return {"kind": kind, "names": names, "classes": site.classes, "suspects": _suspects_as_json()}


@pages.post("/api/decisions")
def decide() -> dict[str, Any]:
    """Record a decision about a train row: keep, drop, or relabel as `label`."""
    check_token()
    body = _body("id", "decision")
    id, decision, label = body["id"], body["decision"], body.get("label") or ""
    _check_row(id)
    if decision not in (decisions.KEEP, decisions.DROP, decisions.RELABEL):
        raise Problem(422, f"A decision is {decisions.KEEP}, {decisions.DROP} or {decisions.RELABEL}")
    site = this_site()
    if decision != decisions.RELABEL:
        label = ""
    else:
        allowed = Allowed(site.classes, site.task)
        if (found := allowed.find(label)) is None:
            raise Problem(422, f"Relabel as {allowed.in_words}")
        label = found
    with _problems_shown():
        decided = decisions.decide(site.decisions, Decision(id, decision, label), site.classes, site.task)
    site.reordering.ask()
    return decided._asdict()


@pages.post("/api/decisions/undo")
def undo() -> dict[str, Any]:
    """Take back the last decision about a train row; the answer is the one before, whose `decision` may be null."""
    check_token()
    id = _body("id")["id"]
    _check_row(id)
    site = this_site()
    with _problems_shown():
        previous = decisions.undo(site.decisions, id, site.classes, site.task)
    site.reordering.ask()
    return previous._asdict() if previous else {"id": id, "decision": None}


@pages.get("/api/order")
def order() -> dict[str, Any]:
    """The newest order, if it is newer than version `after`, and whether a newer one is on its way; never waits."""
    newest = this_site().reordering.order
    answer: dict[str, Any] = {"version": newest.version, "waiting": newest.waiting, "decided": newest.decided}
    if newest.scores and str(newest.version) != request.args.get("after"):
        answer["order"] = [[*place, score] for place, score in newest.scores.items()]
    return answer | {"problem": newest.problem}


@pages.get("/thumbnail")
def thumbnail() -> Response:
    """A small picture of a row of the data set."""
    jpeg = thumbnails.make_thumbnail(this_site().dataset, request.args.get("split", ""), request.args.get("id", ""))
    if jpeg is None:
        raise Problem(404, "There is no such photograph")
    response = Response(jpeg, mimetype="image/jpeg")
    response.cache_control.private, response.cache_control.max_age = True, 300
    response.add_etag()
    response.make_conditional(request)
    return response


def _suspects_as_json() -> list[dict[str, Any]]:
    site = this_site()
    rows = suspect_table.read_suspects(site.suspects)
    ids = [suspect.id for suspect in rows if suspect.split == "train"]
    if scores := site.reordering.order.scores:
        rows = [row._replace(score=scores.get((row.split, row.id), row.score)) for row in rows]
        rows.sort(key=lambda row: -row.score)
    by_id, names = {}, site.task.names if site.task and site.task.kind == LABELS else ()
    if site.decisions.exists():
        site.reordering.ask(first=True)  # what was decided on an earlier day is learnt from, too
        by_id = decisions.read_decisions(site.decisions, site.classes, ids, site.task)
    listed = []
    for suspect in rows:
        decision = by_id.get(suspect.id) if suspect.split == "train" else None
        listed.append(
            {
                **suspect._asdict(),
                "reasons": [reason.text for reason in suspect.reasons],
                "kinds": suspect.kinds,
                "doubted": [name for reason in suspect.reasons for name in doubted_in(reason.text, names)],
                "thumbnail": thumbnail_url(suspect.split, suspect.id),
                "decision": decision and decision._asdict(),
            }
        )
    return listed


def _body(*needed: str) -> dict[str, Any]:
    """The JSON object of the request, with the texts `needed`; other texts may be there, or null."""
    request.max_content_length = _MAX_JSON
    if not request.is_json:
        raise Problem(415, "Send JSON, as application/json")
    try:
        body = json.loads(request.get_data())
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict) or not all(value is None or isinstance(value, str) for value in body.values()):
        raise Problem(400, "Send a JSON object of texts")
    if not all(body.get(name) for name in needed):
        raise Problem(400, f"Send a JSON object with {' and '.join(needed)}")
    return body


def _check_row(id: str) -> None:
    """Refuse what is no train row; without the data set, the rows are those of the table of suspects."""
    site = this_site()
    if site.dataset:
        splits = {split for split in ("train", "test") if (split, id) in site.dataset.by_key}
    else:
        with _problems_shown():
            splits = {suspect.split for suspect in suspect_table.read_suspects(site.suspects) if suspect.id == id}
    if not splits:
        raise Problem(404, "There is no such photograph")
    if "train" not in splits:
        raise Problem(422, "Test photographs are never dropped or relabelled")


@contextlib.contextmanager
def _problems_shown() -> Iterator[None]:
    """Answer 409 for a file that someone must mend first, 507 for a full disk."""
    try:
        yield
    except (StoreError, LockedError) as error:
        full = isinstance(error.__context__, OSError) and error.__context__.errno in atomic.FULL
        raise Problem(507 if full else 409, str(error).removesuffix(".")) from None
