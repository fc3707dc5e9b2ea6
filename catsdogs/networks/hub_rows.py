"""KerasHub's presets as rows of the table."""

from catsdogs.networks.table import Backbone


def row(preset: str, weights_dir: str | None, size: int = 0) -> Backbone:
    """The row of a preset: a folder, a name to be found in `weights_dir`, or a handle to download."""
    raise NotImplementedError
