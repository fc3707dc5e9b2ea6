"""PyTorch: the same architectures and weights, channels_last, eager or compiled, float32 or bfloat16 autocast."""

from pathlib import Path
from typing import Any

from benchmarks.contenders import Job, Stopwatch, feature_map_model
from catsdogs.networks.table import Backbone

BATCH_SIZE = 16


def prepare(backbone: Backbone, folder: Path) -> None:
    """Write down the network for a process without Keras."""
    from benchmarks.torch_port import describe

    describe(feature_map_model(backbone), backbone.preprocessing).save(_path(folder, backbone))


def run(job: Job) -> float:
    """See `benchmarks.contenders`."""
    import torch

    precision, _, compiled = job.variant.partition(" ")
    networks = [(row.input_size, _network(_path(job.prepared, row), bool(compiled))) for row in job.backbones]
    size = job.batch_size(BATCH_SIZE)

    def step(batch: dict[int, Any]) -> None:
        for side, network in networks:
            network(torch.from_numpy(batch[side])).numpy()

    watch = Stopwatch()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        step(job.zeros(size))
        with watch:
            for batch in job.batches(size):
                step(batch)
    return watch.seconds


def _network(path: Path, compiled: bool) -> Any:
    import torch

    from benchmarks.torch_port import Network, Plan

    network = Network(Plan.load(path))
    return torch.compile(network) if compiled else network


def _path(folder: Path, backbone: Backbone) -> Path:
    return folder / f"{backbone.name}.npz"
