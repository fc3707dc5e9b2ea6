"""Our networks alone, fed from memory: the ceiling of what feeding them from files can reach."""

import numpy as np

from benchmarks.contenders import Job, Stopwatch, weights_of
from benchmarks.contenders.ours import ENGINE
from catsdogs.networks.engines import selection


def run(job: Job) -> float:
    """See `benchmarks.contenders`."""
    engine = selection.create_engine(ENGINE, job.variant, None)
    networks = [(row.input_size, engine.load(row, weights_of(row))) for row in job.backbones]
    rng = np.random.default_rng(0)
    batch = {side: rng.integers(0, 256, zeros.shape, np.uint8) for side, zeros in job.zeros(engine.batch_size).items()}
    for side, network in networks:
        network.submit(batch[side])()
    watch = Stopwatch()
    with watch:
        count = -(-len(job.paths) // engine.batch_size)
        results = [network.submit(batch[side]) for _ in range(count) for side, network in networks]
        for result in results:
            result()
    return watch.seconds
