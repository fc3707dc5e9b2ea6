"""Belief in suspects: the order before there are decisions, and what decisions change."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catsdogs.cleaning import belief
from catsdogs.cleaning.suspect_table import Reason, Suspect

TERMS = len(belief.PRIOR)


def suspect(id: str, votes: int = 0, networks: int = 3, *kinds: str) -> Suspect:
    return Suspect("train", id, "cat", 0.5, votes, networks, {}, tuple(Reason(0.5, f"{kind}: it is") for kind in kinds))


def order(*rows: tuple[Suspect, float, float]) -> list[str]:
    suspects, doubt, far = zip(*rows, strict=True)
    return [one.id for one in belief.rank(suspects, belief.weigh(suspects, np.array(doubt), np.array(far)), {})]


def test_what_shows_no_pet_and_wrong_labels_stand_above_what_is_hard() -> None:
    hard = (suspect("hard"), 0.9, 1.5)
    wrong, logo = (suspect("wrong"), 0.9995, 3.0), (suspect("logo", 3), 0.3, 5.0)
    caged, copy = (suspect("caged", 3), 0.001, 2.5), (suspect("copy", 0, 3, "near-duplicate"), 0.01, 0.0)
    found = order(hard, caged, copy, wrong, logo)
    assert set(found[:2]) == {"wrong", "logo"} and found[2] == "caged"


def test_where_no_network_votes_the_distance_tells() -> None:
    assert order((suspect("near", 0, 0), 0.5, 1.0), (suspect("far", 0, 0), 0.5, 6.0))[0] == "far"
    voted, unvoted = (belief.weigh([suspect("x", 0, n)], np.array([0.5]), np.array([6.0])) for n in (3, 0))
    assert belief.believe(unvoted) > belief.believe(voted)


def test_a_label_is_wrong_by_the_odds_of_bayes() -> None:
    evidence = belief.weigh([suspect("x", 0, 3)], np.array([0.999]), np.array([0.0]))
    assert belief.believe(evidence)[0] == pytest.approx(0.0014 * 999 / (1 + 0.0014 * 999), abs=0.02)


def test_rows_that_no_head_judged_are_believed_by_the_rest() -> None:
    evidence = belief.weigh([suspect("x"), suspect("y", 3)], np.array([np.nan, np.nan]), np.array([np.nan, 2.0]))
    assert np.isfinite(evidence).all() and belief.believe(evidence)[0] < belief.believe(evidence)[1]


rows = st.lists(
    st.tuples(st.integers(0, 3), st.floats(0, 1), st.floats(-5, 10), st.booleans()), min_size=1, max_size=30
)


@settings(deadline=None, max_examples=40)
@given(rows=rows)
def test_one_more_correction_never_makes_its_like_less_likely(rows: list[tuple[int, float, float, bool]]) -> None:
    suspects = [suspect(str(n), votes) for n, (votes, *_) in enumerate(rows)]
    evidence = belief.weigh(suspects, np.array([row[1] for row in rows]), np.array([row[2] for row in rows]))
    corrected = np.array([row[3] for row in rows])
    before = belief.learn(evidence[1:], corrected[1:])
    kept, dropped = (belief.learn(evidence, np.append(first, corrected[1:])) for first in (False, True))
    low, usual, high = (evidence[0] @ coefficients for coefficients in (kept, before, dropped))
    assert low <= usual + 1e-3 and usual <= high + 1e-3


def test_no_decision_leaves_the_prior_a_handful_moves_it_a_little_and_many_win() -> None:
    prior = np.array([term.prior for term in belief.PRIOR])
    assert belief.learn(np.empty((0, TERMS)), np.empty(0, bool)) == pytest.approx(prior)
    caged = belief.weigh([suspect("x", 3)], np.array([0.001]), np.array([3.0]))
    few, many = (belief.learn(np.repeat(caged, n, axis=0), np.zeros(n, bool)) for n in (3, 300))
    first, second, third = (float(belief.believe(caged, one)[0]) for one in (prior, few, many))
    assert first > second > first / 3 and third < 0.02


def test_decisions_calibrate() -> None:
    random = np.random.default_rng(0)
    suspects = [suspect(str(n), int(random.integers(0, 4))) for n in range(2000)]
    evidence = belief.weigh(suspects, random.random(2000), random.normal(2, 2, 2000))
    truth = np.add([term.prior for term in belief.PRIOR], [2, 0, -1, 0.3, 0, 0, 0, 0])
    corrected = random.random(2000) < belief.believe(evidence, truth)
    learnt = belief.believe(evidence, belief.learn(evidence, corrected))
    assert learnt.sum() == pytest.approx(corrected.sum(), rel=0.1)
    loss = [np.square(p - belief.believe(evidence, truth)).mean() for p in (learnt, belief.believe(evidence))]
    assert loss[0] < loss[1] / 5


def test_a_decided_row_counts_by_its_id() -> None:
    suspects = [suspect("a", 3), suspect("b", 3), suspect("c", 0)]
    evidence = belief.weigh(suspects, np.full(3, 0.5), np.full(3, 3.0))
    before = {one.id: one.score for one in belief.rank(suspects, evidence, {})}
    after = {one.id: one.score for one in belief.rank(suspects, evidence, {"a": False, "elsewhere": True})}
    assert after["b"] < before["b"] and min(after.values()) >= 0
