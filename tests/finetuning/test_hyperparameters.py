"""Hyperparameters that cannot be."""

import pytest

from catsdogs.errors import UnknownNameError, UsageError
from catsdogs.networks.quiet import importing_keras
from tests.conftest import refused

with importing_keras():
    from catsdogs.finetuning.hyperparameters import complete_hyperparameters


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ({"base": "nothing"}, UnknownNameError, "four-conv"),
        ({"base": "four-conv", "unfreeze": "some"}, UnknownNameError, "last-block"),
        ({"base": "four-conv", "unfreeze": "last-block"}, UsageError, "random weights"),
        ({"base": "Xception", "tricks": "he"}, UsageError, "pretrained"),
        ({"base": "siamese-cnn", "tricks": "mixup"}, UsageError, "learns from pairs"),
        ({"base": "four-conv", "tricks": "magic"}, UnknownNameError, "mixup"),
        ({"base": "four-conv", "input_size": 8}, UsageError, "--size"),
        ({"base": "four-conv", "rate": -1.0}, UsageError, "--rate"),
        ({"base": "four-conv", "epochs": -1}, UsageError, "--epochs"),
        ({"base": "four-conv", "batch_size": 0}, UsageError, "--batch-size"),
    ],
)
def test_hyperparameters_that_cannot_be(given: dict[str, object], error: type, match: str) -> None:
    with refused(error, match):
        complete_hyperparameters(**given)  # type: ignore[arg-type]
