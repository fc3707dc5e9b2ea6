"""Measures extraction beside other ways to do it, and writes the results; see `__main__`."""

import catsdogs  # noqa: F401 - before NumPy, as in the program: it tells OpenBLAS's threads to sleep
