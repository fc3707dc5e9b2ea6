"""The web pages: people predict photographs, review suspects and look at runs; predictions come as JSON too."""

from catsdogs.web.app import create_app
from catsdogs.web.loading import Loading
from catsdogs.web.server import serve
from catsdogs.web.site import Site

__all__ = ["Loading", "Site", "create_app", "serve"]
