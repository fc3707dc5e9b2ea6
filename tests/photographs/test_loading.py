"""Photographs loaded by threads and by processes: the same pixels, digests, figures and reasons."""

import errno
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest

from catsdogs.errors import StoreError
from catsdogs.photographs import decoders, images, loading
from catsdogs.photographs.fitting import FLIP, Fit
from catsdogs.photographs.loading import Loader, Request
from catsdogs.photographs.locations import Location
from tests.support.datasets import jpeg

SMALL, LARGE, BOTH = Fit(32), Fit(60, "crop", 0.9), Fit(24, views=FLIP)
FITS = (SMALL, LARGE, BOTH)
ROWS = 12


@pytest.fixture
def photographs(tmp_path: Path) -> list[Location]:
    """30 photographs, of which one is cut short and one is not there; one lies in another folder."""
    for number in range(30):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(number, (200, 150)))
    whole = (tmp_path / "4.jpg").read_bytes()
    (tmp_path / "4.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "7.jpg").unlink()
    return [Location(tmp_path, f"{number}.jpg") for number in range(30)]


def loaded_by(loader: Loader, photographs: Sequence[Location], choose: loading.Choose | None = None) -> list[object]:
    """All that is known of each photograph, through blocks of `ROWS`."""
    seen: list[object] = []
    starts = range(0, len(photographs), ROWS)
    requests = [Request(photographs[start : start + ROWS], choose) for start in starts]
    with loader:
        for request, loaded in zip(requests, loader.stream(requests), strict=True):
            for row in range(len(request.photographs)):
                reason, block = loaded.wait(row), loaded.block
                squares = [
                    block.squares[fit][row * fit.view_count : (row + 1) * fit.view_count].tobytes() for fit in FITS
                ]
                digest = int(block.digest[row])
                seen.append(reason or (digest, *block.statistics[row].tolist(), *squares))
            loaded.release()
    return seen


def test_processes_load_what_threads_load_and_images_makes_of_them(photographs: list[Location]) -> None:
    by_processes = loaded_by(loading.by_processes(2, ROWS, FITS), photographs)
    assert by_processes == loaded_by(loading.by_threads(3, ROWS, FITS), photographs)
    assert by_processes[7] == "no such file" and str(by_processes[4]).startswith("damaged: ")
    data = (photographs[9].container / photographs[9].name).read_bytes()
    pixels = images.load(data, FITS)
    assert by_processes[9] == (
        images.digest(data),
        *pixels.statistics.tolist(),
        *(pixels.by_fit[fit].tobytes() for fit in FITS),
    )


@pytest.mark.parametrize("make", [loading.by_threads, loading.by_processes])
def test_only_what_is_chosen_is_decoded(make: object, photographs: list[Location], tmp_path: Path) -> None:
    """The caller chooses by the digest, before anything is decoded."""
    wanted = images.digest((tmp_path / "2.jpg").read_bytes())
    asked: list[int] = []

    def choose(rows: Sequence[int], digests: Sequence[int]) -> list[Iterable[Fit]]:
        asked.extend(rows)
        return [{SMALL} if digest == wanted else () for digest in digests]

    assert callable(make)
    loader: Loader = make(2, ROWS, FITS)
    with loader:
        (loaded,) = loader.stream([Request(photographs[:ROWS], choose)])
        reasons = [loaded.wait(row) for row in range(ROWS)]
        block = loaded.block
        assert sorted(asked) == [row for row in range(ROWS) if row != 7]
        assert reasons == ["no such file" if row == 7 else "" for row in range(ROWS)]  # 4 is damaged, but not decoded
        side = max(fit.enlarged for fit in FITS)
        pixels = images.load((tmp_path / "2.jpg").read_bytes(), [SMALL], side)
        assert np.array_equal(block.squares[SMALL][2], pixels.by_fit[SMALL][0])
        assert block.digest[2] == wanted and block.statistics[2, 0] == 200
        loaded.release()


def test_how_large_a_photograph_is_decoded_depends_on_all_fits_alone(tmp_path: Path) -> None:
    """So a network that catches up later sees the pixels that it would have seen beside the others."""
    (tmp_path / "large.jpg").write_bytes(jpeg(5, (1200, 900)))
    place, fits = Location(tmp_path, "large.jpg"), (Fit(224), Fit(32))
    together, alone = loading.by_threads(1, 1, fits), loading.by_threads(1, 1, fits)
    with together, alone:
        (first,) = together.stream([Request([place])])
        (second,) = alone.stream([Request([place], lambda rows, _: [{Fit(32)} for _ in rows])])
        assert (first.wait(0), second.wait(0)) == ("", "")
        assert np.array_equal(first.block.squares[Fit(32)], second.block.squares[Fit(32)])


def test_where_memory_cannot_be_shared_threads_load(
    photographs: list[Location], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = loaded_by(loading.by_threads(2, ROWS, FITS), photographs)

    def refuse(size: int) -> int:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    monkeypatch.setattr(decoders, "_anonymous_file", refuse)
    assert loaded_by(loading.by_processes(2, ROWS, FITS), photographs) == expected


def test_memory_without_memfd_has_no_name_either(
    photographs: list[Location], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on macOS."""
    monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    (tmp_path / "scratch").mkdir()
    loader = loading.by_processes(1, ROWS, FITS)
    assert isinstance(loader._hands, decoders.Processes) and list((tmp_path / "scratch").iterdir()) == []
    assert loaded_by(loader, photographs) == loaded_by(loading.by_threads(1, ROWS, FITS), photographs)


def test_a_stretch_begins_while_another_is_used_and_blocks_are_bounded(photographs: list[Location]) -> None:
    asked: list[int] = []

    def requests() -> Iterable[Request]:
        for number in range(6):
            asked.append(number)
            yield Request(photographs[:4])

    with loading.by_threads(1, ROWS, FITS) as loader:
        stream = loader.stream(requests())
        first = next(stream)
        assert asked == [0, 1, 2, 3]  # three blocks, and the request that waits for one
        first.release()
        rest = []
        for loaded in stream:
            rest.append([loaded.wait(row) for row in range(4)])
            loaded.release()
        assert rest == [[""] * 4] * 5


@pytest.mark.parametrize("make", [loading.by_threads, loading.by_processes])
def test_what_fails_while_it_is_chosen_is_raised_to_who_waits(make: object, photographs: list[Location]) -> None:
    def choose(rows: Sequence[int], digests: Sequence[int]) -> list[Iterable[Fit]]:
        raise StoreError("The digests cannot be read", "Try again")

    assert callable(make)
    loader: Loader = make(2, ROWS, FITS)
    with loader, pytest.raises(StoreError, match="The digests cannot be read"):
        (loaded,) = loader.stream([Request(photographs[:ROWS], choose)])
        loaded.wait(0)


def test_photographs_that_nobody_waits_for_any_more_are_not_loaded(photographs: list[Location]) -> None:
    """As when a run is interrupted."""
    many = Request([photographs[0]] * 2000)
    with loading.by_processes(1, 2000, [SMALL]) as loader:
        stream = loader.stream([many])
        loaded = next(stream)
        assert loaded.wait(0) == ""
        loaded.release()
        assert np.count_nonzero(loaded.block.state) < 1000
