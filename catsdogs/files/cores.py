"""How many processor cores this process may use."""

import functools


@functools.cache
def usable() -> int:
    """The cores of the machine, or fewer: a container's share of them, or those that this process is held to.

    joblib counts them, by the system's affinity and the quota of the container (cgroups), on every system.
    """
    import joblib  # which takes 0.2 s

    return int(joblib.cpu_count())
