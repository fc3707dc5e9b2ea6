"""Files: written whole or not at all, locked, sealed and checked, on this machine or in an object store."""

__all__ = [
    "atomic",
    "cards",
    "cores",
    "hdf5",
    "interrupts",
    "locks",
    "notebook",
    "notes",
    "ranges",
    "seal",
    "storage",
    "tables",
    "trial",
]
