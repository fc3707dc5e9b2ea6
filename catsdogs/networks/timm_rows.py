"""timm's networks as rows of the table."""

from catsdogs.networks.table import Backbone


def row(model: str, size: int = 0) -> Backbone:
    """The row of a network by timm's name and tag, at its own input size or another."""
    raise NotImplementedError
