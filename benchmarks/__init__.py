"""Measures extraction beside what else one would pick, and writes what it saw; see `__main__`."""
