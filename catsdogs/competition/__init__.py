"""A competition: what it is called, its photographs downloaded, its submission written, checked, graded, uploaded."""

__all__ = ["fetch", "grading", "kaggle", "known", "submission"]
