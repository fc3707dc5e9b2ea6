"""What the tests of the engines share: a batch of photographs."""

import numpy as np
import pytest
from numpy.typing import NDArray

from catsdogs.photographs import images
from tests.support.datasets import jpeg
from tests.support.engines import BATCH


@pytest.fixture(scope="session")
def pixels() -> NDArray[np.uint8]:
    return np.stack([images.square(jpeg(seed), 224) for seed in range(BATCH)])
