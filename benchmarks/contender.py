"""A process of its own for one contender, so that none shares memory or start-up with another: one JSON line comes out.

`python -m benchmarks.contender run COLUMN VARIANT BACKBONES PHOTOGRAPHS PREPARED` times it;
`python -m benchmarks.contender prepare COLUMNS BACKBONE PREPARED` converts a network for those that need it.
"""

import json
import resource
import sys
from pathlib import Path
from typing import Any

from benchmarks.contenders import Job, by_name, load
from catsdogs.networks.choice import choose
from catsdogs.networks.table import BACKBONES


def run(column: str, variant: str, backbones: str, photographs: str, prepared: str) -> dict[str, Any]:
    """How many photographs, in how many seconds once warm, and the most memory the process ever held, in bytes."""
    job = Job(variant, tuple(choose(backbones.split(","))), Path(photographs), Path(prepared))
    seconds = load(by_name(column)).run(job)
    unit = 1 if sys.platform == "darwin" else 1024
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return {"photographs": len(job.paths), "seconds": seconds, "memory": memory}


def prepare(columns: str, backbone: str, prepared: str) -> dict[str, str]:
    """What went wrong, by column; the others are ready."""
    failures = {}
    for name in filter(None, columns.split(",")):
        try:
            load(by_name(name)).prepare(BACKBONES[backbone], Path(prepared))
        except Exception as error:  # converters raise anything; it stands in the report, and the others go on
            failures[name] = f"{type(error).__name__}: {error}".splitlines()[0]
    return failures


if __name__ == "__main__":
    verb, *arguments = sys.argv[1:]
    print(json.dumps(run(*arguments) if verb == "run" else prepare(*arguments)))
