"""The commands: flags in, sentences out; a file for each room."""

__all__ = [
    "blending",
    "cleaning",
    "competition",
    "console",
    "demo",
    "exporting",
    "features",
    "finetuning",
    "networks",
    "photographs",
    "report",
    "runs",
    "scoring",
    "twins",
    "web",
    "workspace",
]
