"""Measures extraction beside other ways to do it, and writes the results; see `__main__`."""
