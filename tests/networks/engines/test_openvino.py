"""The OpenVINO engine: failures, and when it computes in bfloat16."""

import os
import platform
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from catsdogs.errors import UsageError
from catsdogs.networks.engines import openvino, selection
from tests.conftest import refused
from tests.support.engines import BATCH, lite0


def test_a_failed_inference_is_raised_and_the_next_one_runs(pixels: NDArray[np.uint8]) -> None:
    network = lite0("openvino", "float32")
    for _ in range(5):  # more than there are requests: each must come back
        with pytest.raises(Exception, match="shape"):
            network.submit(np.zeros((BATCH, 7, 7, 3), np.uint8))()
    assert np.isfinite(network.submit(pixels)().vector).all()


def test_a_process_that_ends_with_batches_under_way() -> None:
    lite0("openvino", "float32")
    code = """
        import sys
        import numpy as np
        from catsdogs.networks import weights
        from catsdogs.networks.engines import selection
        from catsdogs.networks.table import BACKBONES

        backbone = BACKBONES["EfficientNetLite0"]
        network = selection.create_engine("openvino", "float32", 4).load(backbone, weights.obtain(backbone, None))
        for _ in range(4):
            network.submit(np.zeros((4, 224, 224, 3), np.uint8))
        assert not {"keras", "tensorflow", "openvino_telemetry.main"} & set(sys.modules)
    """
    for _ in range(3):
        subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True, timeout=300)


def test_the_verdict_on_bfloat16_is_found_out_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"bf16": 1.0, "f32": 2.0}
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(openvino, "computes_bfloat16", lambda: True)
    monkeypatch.setattr(openvino, "_seconds_of_a_convolution", lambda hint: seconds[hint])
    assert openvino.bfloat16_is_faster()
    seconds["bf16"] = 3.0
    assert openvino.bfloat16_is_faster()
    next(tmp_path.rglob("*.json")).write_text("{")
    assert not openvino.bfloat16_is_faster()


def test_bfloat16_is_taken_only_where_it_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino, "computes_bfloat16", lambda: True)
    for faster, precision in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(openvino, "bfloat16_is_faster", lambda faster=faster: faster)
        assert selection.create_engine("openvino", "auto", None).precision == precision
        assert selection.create_engine("openvino", "float32", None).precision == "float32"


def test_instructions_that_may_not_be_used_are_not_counted_on() -> None:
    """A limit set for oneDNN is not in OpenVINO's list of what the processor can do."""
    code = "from catsdogs.networks.engines import selection\n"
    code += "print(selection.create_engine('openvino', 'auto', None).precision)"
    environment = os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    # Arm's processors are not limited by it: any precision will do there.
    assert ended.stdout.strip() == "float32" or (platform.machine() not in ("x86_64", "AMD64") and not ended.returncode)


def test_a_gpu_that_keras_does_not_use_leaves_the_work_to_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "ACCELERATORS", (os.devnull,))
    engine = selection.create_engine("auto", "float32", None)
    assert engine.name == ("keras" if getattr(engine, "on_gpu", False) else "openvino")


def test_openvino_refuses_float16() -> None:
    with refused(UsageError, r"OpenVINO does not compute in float16 here\. Give --precision float32"):
        selection.create_engine("openvino", "float16", None)
