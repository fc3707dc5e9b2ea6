"""The Flask app: its pages, its limits, and its guard."""

from flask import Flask
from jinja2 import StrictUndefined

from catsdogs.web import guard, overview, predict, review, uploads
from catsdogs.web.site import EXTENSION, Site

# A form of as many and as large photographs as may be, and the lines between them.
MAX_BODY = uploads.MAX_FILES * uploads.MAX_UPLOAD_BYTES + 2**20


def create_app(site: Site) -> Flask:
    """The app for a site."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    # Classes and networks have an order of their own.
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.extensions[EXTENSION] = site
    guard.protect(app)
    for pages in (predict.pages, review.pages, overview.pages):
        app.register_blueprint(pages)
    return app
