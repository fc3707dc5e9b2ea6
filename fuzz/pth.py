"""Fuzzes the reader of PyTorch's legacy `.pth` files."""

import atheris

with atheris.instrument_imports(include=["catsdogs"]):
    from catsdogs.networks import pth

from fuzz import harness
from tests.faults import specimens


def target(data: bytes) -> None:
    harness.refused(pth.read_pth, harness.written("x.pth", data))


if __name__ == "__main__":
    harness.main(target, specimens.pths().values())
