"""The things that competitions of the demo ask to tell apart."""

from itertools import pairwise

import numpy as np
import pytest

from catsdogs.demo.things import EMPTY, PATTERNS, SHAPES, SIZES, Look, draw_thing, looks


def test_looks_differ_and_neighbours_share_nothing() -> None:
    all_of_them = looks(len(SHAPES) * len(PATTERNS))
    assert len({(look.shape, look.pattern) for look in all_of_them}) == len({look.hue for look in all_of_them}) == 36
    assert all(one.shape != other.shape and one.pattern != other.pattern for one, other in pairwise(all_of_them))


@pytest.mark.parametrize("look", [Look(), Look(EMPTY), *looks(36)])
def test_a_thing_is_drawn_from_the_seed_alone(look: Look) -> None:
    one, same, other = (draw_thing(look, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one == same != other and one.size in SIZES and one.mode == "RGB"


def test_the_thing_is_what_differs_from_the_empty_ground() -> None:
    """The ground is drawn first, so that the same seed gives the same one, and hue and shape are as asked for."""
    for seed in range(5):
        ground, red, green = (
            np.asarray(draw_thing(look, np.random.default_rng(seed)).convert("RGB"), dtype=float)
            for look in (Look(EMPTY), Look("disc", "plain", 0), Look("disc", "plain", 120))
        )
        inside = np.abs(red - green).sum(axis=2) > 60
        assert 0.02 < inside.mean() < 0.5
        assert red[inside][:, 0].mean() > red[inside][:, 1].mean()
        assert green[inside][:, 1].mean() > green[inside][:, 0].mean()
        assert ground.shape == red.shape
