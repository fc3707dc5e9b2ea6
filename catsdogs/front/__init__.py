"""The front door: what `import catsdogs` offers, and the steps behind it that the command line takes as well."""

__all__ = [
    "arguments",
    "comparing",
    "defaults",
    "extracting",
    "notes",
    "places",
    "predicting",
    "reading",
    "runs",
    "suspects",
    "training",
    "transformer",
    "vectors",
]
