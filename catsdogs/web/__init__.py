"""The page that predicts photographs, reviews suspects and lists runs, and the same predictions as JSON."""

from catsdogs.web.app import create_app
from catsdogs.web.loading import Loading
from catsdogs.web.server import serve
from catsdogs.web.site import Site

__all__ = ["Loading", "Site", "create_app", "serve"]
