"""Hands catsdogs' commands on to invoke: `invoke --list` shows them."""

from catsdogs.cli import collection as namespace
from catsdogs.commands.console import show_every_letter

__all__ = ["namespace"]

show_every_letter()  # for invoke's own lists and help, too
