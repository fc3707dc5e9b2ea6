"""timm's networks as PyTorch modules on uint8 photographs, and exported for OpenVINO."""

from catsdogs.networks.table import Backbone
from catsdogs.networks.weights import Weights


def export(backbone: Backbone, weights: Weights, path: str) -> None:
    """Write the network as an OpenVINO file, `.xml`."""
    raise NotImplementedError
