"""The context of every view: the site, the predictor that is being loaded, the thumbnails, and this process's token."""

import secrets
from dataclasses import dataclass, field
from typing import cast

from flask import current_app, url_for

from catsdogs.web.loading import Loading
from catsdogs.web.site import Site
from catsdogs.web.thumbnails import Thumbnails

EXTENSION = "catsdogs"


@dataclass(frozen=True)
class Shared:
    """The context of an app.

    Attributes:
        token: what a page must send to change anything. Other sites cannot read it, and so cannot send it.
    """

    site: Site
    loading: Loading
    thumbnails: Thumbnails
    token: str = field(default_factory=secrets.token_urlsafe)


def shared() -> Shared:
    """The context of the app that answers the present request."""
    return cast(Shared, current_app.extensions[EXTENSION])


def thumbnail_url(split: str, id: str) -> str | None:
    """The address of a row's thumbnail, or None for what is no row of the data set."""
    return url_for("review.thumbnail", split=split, id=id) if shared().thumbnails.has(split, id) else None
