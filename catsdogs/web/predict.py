"""Predicts photographs: the page to drop them on, predictions as JSON, and whether the networks are loaded."""

import base64
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from flask import Blueprint, render_template, request
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import ServiceUnavailable

from catsdogs.errors import UnreadablePhotographError
from catsdogs.photographs.task import LABELS, NUMBER, ORDINAL
from catsdogs.web import uploads
from catsdogs.web.guard import Problem
from catsdogs.web.site import this_site, thumbnail_url

if TYPE_CHECKING:
    from catsdogs.runs.answers import Answer, Predictor
    from catsdogs.runs.run_card import Run

FIELD, WHY = "file", "why"  # of the form
_MAP_SIDE = 480  # pixels
_SHOWN_NAME = 100  # characters
_SOON, _LATER = 3, 60  # seconds after which asking again may help

pages = Blueprint("predict", __name__)


@pages.get("/")
def page() -> str:
    """The page on which photographs are dropped."""
    site = this_site()
    loading = site.loading
    run = loading.predictor.run if loading.predictor else None
    return render_template(
        "predict.html",
        loading=loading,
        name=site.run,
        run=run and _describe_run(run),
        max_bytes=uploads.MAX_UPLOAD_BYTES,
        formats=uploads.FORMATS_IN_WORDS,
        accept=uploads.ACCEPT,
    )


@pages.get("/healthz")
def health() -> tuple[dict[str, Any], int]:
    """Whether photographs can be predicted; 503 only where they never can be."""
    loading = this_site().loading
    run = _describe_run(loading.predictor.run) if loading.predictor else None
    answer = {"status": loading.state, "run": run, "problem": loading.problem}
    return answer, 503 if loading.state == "failed" else 200


@pages.post("/api/predict")
def predict() -> tuple[dict[str, Any], int]:
    """A prediction for each photograph of the form; see docs/web.md."""
    files = request.files.getlist(FIELD)
    if not files:
        raise Problem(400, f"Send photographs as multipart/form-data, in the field {FIELD}")
    if len(files) > uploads.MAX_FILES:
        raise Problem(413, f"At most {uploads.MAX_FILES} photographs at once")
    predictor = _predictor()
    results = [_result(predictor, file, explain=bool(request.form.get(WHY))) for file in files]
    content: dict[str, Any] = {"run": _describe_run(predictor.run), "results": results}
    content["run"] |= {"no_neighbours": predictor.no_neighbours, "ranges": predictor.ranges}
    status = 200
    if all("error" in result for result in results):
        content["error"], status = results[0]["error"], results[0]["status"]
    return content, status


def _predictor() -> "Predictor":
    loading = this_site().loading
    if loading.predictor:
        return loading.predictor
    if loading.state in ("none", "failed"):
        none = "No run predicts yet: train one with `catsdogs train`, and start the server again"
        raise ServiceUnavailable(loading.problem.removesuffix(".") or none, retry_after=_LATER)
    raise ServiceUnavailable("The networks are still loading", retry_after=_SOON)


def _result(predictor: "Predictor", file: FileStorage, explain: bool) -> dict[str, Any]:
    """The prediction for one photograph, with its map if asked for, or why it is refused."""
    name = PurePosixPath((file.filename or "").replace("\\", "/")).name[:_SHOWN_NAME] or "photograph"
    try:
        data = file.stream.read(uploads.MAX_UPLOAD_BYTES + 1)
        uploads.check_upload(data)
        answer = predictor.answer(data)
        return {"name": name, **_answer_as_json(answer), **(_map(predictor, data, answer) if explain else {})}
    except Problem as problem:
        return {"name": name, "error": f"{problem.description}.", "status": problem.code}
    except UnreadablePhotographError as error:
        reason = error.reason.removeprefix("damaged: ")
        return {"name": name, "error": f"This picture cannot be read: {reason}.", "status": 415}


def _map(predictor: "Predictor", data: bytes, answer: "Answer") -> dict[str, Any]:
    """What speaks for the answer, laid over the photograph: a JPEG in base64; nothing where a run has no maps."""
    from catsdogs.runs import overlay

    why = predictor.why(data, answer)
    if why is None:
        return {}
    picture = base64.b64encode(overlay.as_jpeg(data, why, _MAP_SIDE)).decode()
    return {"why": {"speaks_for": why.speaks_for, "logit": why.logit, "jpeg": picture}}


def _answer_as_json(answer: "Answer") -> dict[str, Any]:
    return {
        "width": answer.width,
        "height": answer.height,
        **_said(answer),
        "no_pet": answer.no_pet,
        "votes": answer.votes,
        "networks": answer.networks,
        "labels": {
            network: [{"label": label, "probability": probability} for label, probability in best]
            for network, best in answer.labels.items()
        },
        "neighbours": [{**near._asdict(), "thumbnail": thumbnail_url("train", near.id)} for near in answer.neighbours],
    }


def _said(answer: "Answer") -> dict[str, Any]:
    """What is predicted, as the kind has it."""
    if answer.kind == NUMBER:
        return {"numbers": answer.predictions}
    if answer.kind == LABELS:
        return {"labels_named": answer.decided, "probabilities": answer.predictions}
    likeliest = max(answer.predictions, key=answer.predictions.__getitem__)
    said = answer.decided[0] if answer.kind == ORDINAL else likeliest
    return {"class": said, "probabilities": answer.predictions}


def _describe_run(run: "Run") -> dict[str, Any]:
    score, networks = str(run.scores[0]), list(run.backbones)
    return {"name": run.name, "kind": run.task.kind, "head": run.head, "networks": networks, "score": score}
