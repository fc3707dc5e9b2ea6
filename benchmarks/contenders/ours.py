"""Ours, end to end: `extract` from JPEGs to feature files, digests, labels and all."""

import tempfile
import time
from pathlib import Path

from benchmarks.contenders import Job, weights_dir, weights_of
from catsdogs.features.extract import Settings, extract
from catsdogs.networks.engines import interface, selection
from catsdogs.networks.table import Backbone
from catsdogs.networks.weights import Weights
from catsdogs.photographs.dataset import scan_unlabelled

ENGINE = "openvino"


def prepare(backbone: Backbone, folder: Path) -> None:
    """Let the engine export the network into its cache, as the first of a user's runs does."""
    selection.create_engine(ENGINE, "float32", None).load(backbone, weights_of(backbone))


def run(job: Job, engine_name: str = ENGINE) -> float:
    """See `benchmarks.contenders`; the clock starts when the last network has been loaded and warmed up."""
    started = 0.0
    create = selection.create_engine

    def creating(
        name: str, precision: str, batch_size: int | None, devices: str = "one", cores: int | None = None
    ) -> interface.Engine:
        engine = create(name, precision, batch_size, devices, cores)
        load = engine.load

        def loading(backbone: Backbone, weights: Weights) -> interface.Network:
            nonlocal started
            network = load(backbone, weights)
            network.submit(job.zeros(engine.batch_size)[backbone.input_size])()
            started = time.perf_counter()
            return network

        engine.load = loading  # type: ignore[method-assign]
        return engine

    selection.create_engine = creating
    settings = Settings(weights_dir=weights_dir(job.backbones), engine=engine_name, precision=job.variant)
    with tempfile.TemporaryDirectory() as out:
        extract(scan_unlabelled(job.photographs), [row.name for row in job.backbones], Path(out), settings)
        return time.perf_counter() - started
