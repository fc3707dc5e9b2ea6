"""The front door: what a notebook or another Python program imports."""

__all__ = ["transformer"]
