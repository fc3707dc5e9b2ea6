"""The site is what the pages show: the folders, the data set, and the run that predicts."""

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from flask import current_app, url_for

from catsdogs.cleaning import decisions, suspect_table
from catsdogs.photographs.dataset import Dataset
from catsdogs.photographs.task import Task
from catsdogs.web.loading import Loading
from catsdogs.web.reordering import Reordering

EXTENSION = "catsdogs"


@dataclass(frozen=True)
class Site:
    """The places of all that the pages show.

    Attributes:
        submissions: the folder of runs.
        features: the folder of feature files, suspects and decisions.
        dataset: the photographs, if they are still there.
        classes: what a photograph may be relabelled as.
        run: the name of the run that predicts, or empty.
        loading: the predictor of that run.
        task: what is asked of each photograph; None if it is one of the classes.
        reordering: what orders the suspects anew after decisions.
        token: what a page must send to change anything. Other sites cannot read it, and so cannot send it.
    """

    submissions: Path
    features: Path
    dataset: Dataset | None
    classes: tuple[str, ...]
    run: str
    loading: Loading
    task: Task | None = None
    token: str = field(default_factory=secrets.token_urlsafe, init=False)
    reordering: Reordering = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "reordering", Reordering(self.features))

    @property
    def suspects(self) -> Path:
        """The table of suspects."""
        return self.features / suspect_table.OUTLIERS_FILE

    @property
    def decisions(self) -> Path:
        """The table of decisions."""
        return self.features / decisions.DECISIONS_FILE


def this_site() -> Site:
    """The site of the app that answers the present request."""
    return cast(Site, current_app.extensions[EXTENSION])


def thumbnail_url(split: str, id: str) -> str | None:
    """The address of a row's thumbnail, or None for what is no row of the data set."""
    dataset = this_site().dataset
    return url_for("review.thumbnail", split=split, id=id) if dataset and dataset.find(split, id) else None
