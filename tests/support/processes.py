"""Python in a process of its own."""

import subprocess
import sys
import textwrap


def child(code: str, *arguments: object, **options: object) -> subprocess.Popen:
    """Start a program, given as indented text, with its output in pipes."""
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload]
