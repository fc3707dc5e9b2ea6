"""EfficientNet-Lite against what is published of it."""

import pytest

from catsdogs.networks import pth
from catsdogs.networks.architectures import efficientnet_lite
from catsdogs.networks.table import Backbone
from tests.support.networks import LITE, lite_file


# Parameters with the classifier, as published with the networks.
@pytest.mark.parametrize(("backbone", "parameters"), list(zip(LITE, (4_694_024, 5_470_344, 6_150_168), strict=True)))
def test_efficientnet_lite_has_the_published_size(backbone: Backbone, parameters: int) -> None:
    model = efficientnet_lite.build(backbone.name, backbone.input_size)
    assert model.count_params() == parameters
    efficientnet_lite.set_weights(model, pth.read_pth(lite_file(backbone)))
