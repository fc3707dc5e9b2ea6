"""Engines, which run networks: Keras on a GPU or TPU, PyTorch on a GPU, OpenVINO on a processor."""

import sys

# OpenVINO reports each import and export to its makers over the network. Without this package it does not.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
