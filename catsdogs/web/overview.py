"""The pages of the runs, newest first, and of their reports."""

import shlex

from flask import Blueprint, Response, render_template, send_file

from catsdogs.photographs import description
from catsdogs.runs import run_card
from catsdogs.web.guard import REPORT_POLICY, Problem
from catsdogs.web.site import this_site

pages = Blueprint("overview", __name__)


@pages.get("/runs")
def page() -> str:
    """The table of runs."""
    site = this_site()
    listing = run_card.list_runs(site.submissions)
    newest = sorted(listing.runs, key=lambda run: run.created, reverse=True)
    return render_template(
        "runs.html",
        runs=newest,
        wanted={run.name: description.wanted(run.task, run.classes) for run in newest},
        damaged=listing.damaged,
        reported={run.name for run in newest if (site.submissions / run.name / run_card.REPORT_FILE).is_file()},
        predicts=site.run,
        quote=shlex.quote,
    )


@pages.get("/runs/<name>/report")
def report(name: str) -> Response:
    """A run's report, as it was written; its scripts run, but in a sandbox, where they are of no site."""
    submissions = this_site().submissions
    known = {run.name for run in run_card.list_runs(submissions).runs}
    path = (submissions / name / run_card.REPORT_FILE).resolve() if name in known else None
    if path is None or not path.is_file():
        raise Problem(404, "There is no such report")
    response = send_file(path, mimetype="text/html", max_age=0)
    response.headers["Content-Security-Policy"] = REPORT_POLICY
    # By the HTML standard a page has either an opener policy or a sandbox; Chromium takes both, others need not.
    response.headers["Cross-Origin-Opener-Policy"] = "unsafe-none"
    response.headers["Cache-Control"] = "no-store"
    return response
