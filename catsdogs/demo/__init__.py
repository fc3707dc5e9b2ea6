"""Drawn data sets, to try the whole pipeline without a download."""

__all__ = ["competitions", "drawings"]
