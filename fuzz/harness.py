"""Shared by the targets: seeds, a file to write each input to, and what counts as a finding."""

import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import atheris

from catsdogs.errors import CatsdogsError

SECONDS, MEGABYTES = 5, 1024  # more for one input is a finding
FOLDER = Path(tempfile.mkdtemp(prefix="catsdogs-fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))  # noqa: S108 - memory, for speed


def written(name: str, data: bytes) -> Path:
    """The input as a file of that name."""
    path = FOLDER / name
    path.write_bytes(data)
    return path


def refused(read: Callable[..., object], *arguments: object) -> bool:
    """Whether a hostile input was refused, in one line with a remedy; anything else that is raised is a finding."""
    try:
        read(*arguments)
    except CatsdogsError as error:
        if not error.problem or not error.remedy or "\n" in str(error) or len(str(error)) > 100_000:
            raise AssertionError(f"not one line and a remedy: {str(error)[:1000]!r}") from error
        return True
    return False


def main(target: Callable[[bytes], None], seeds: Iterable[bytes]) -> None:
    """Run libFuzzer on a target; the first argument is the folder of inputs."""
    corpus = Path(sys.argv[1])
    corpus.mkdir(parents=True, exist_ok=True)
    if not any(corpus.iterdir()):
        for number, seed in enumerate(seeds):
            (corpus / f"seed-{number:02d}").write_bytes(seed)
    limits = [f"-timeout={SECONDS}", f"-rss_limit_mb={MEGABYTES}", f"-malloc_limit_mb={MEGABYTES}"]
    atheris.Setup([sys.argv[0], *limits, *sys.argv[1:]], target)
    atheris.Fuzz()
