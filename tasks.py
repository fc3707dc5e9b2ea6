"""Hands catsdogs' commands on to invoke: `invoke --list` shows them."""

from catsdogs.cli import collection as namespace

__all__ = ["namespace"]
