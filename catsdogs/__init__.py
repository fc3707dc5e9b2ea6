"""Pretrained features once, many heads: a feature-extraction ensemble for image competitions."""

import os

# OpenBLAS's threads wait 2^n cycles for more to do, 2^26 if not told, before they sleep. NumPy and SciPy bring an
# OpenBLAS each, so the waiting threads of one take the cores from the other: docs/heads.md has what that costs.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")

__version__ = "0.1.0"
