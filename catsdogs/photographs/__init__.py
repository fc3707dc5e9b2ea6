"""Photographs: which there are, where their bytes lie, what their labels are, and how bytes become pixels."""

__all__ = [
    "answer",
    "blocks",
    "dataset",
    "description",
    "filetypes",
    "fitting",
    "handed",
    "images",
    "label_texts",
    "loading",
    "locations",
    "names",
    "recognition",
    "sample",
    "sheet",
    "stamps",
    "task",
    "tfrecord",
    "tfrecord_writer",
]
