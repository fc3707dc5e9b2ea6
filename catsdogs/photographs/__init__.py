"""Photographs: which there are, where their bytes lie, what their labels are, and how bytes become pixels."""

__all__ = [
    "dataset",
    "filetypes",
    "images",
    "locations",
    "names",
    "sheet",
    "stamps",
    "task",
    "tfrecord",
    "tfrecord_writer",
]
