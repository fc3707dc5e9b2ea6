"""Belief: the probability that a person would drop or relabel a suspect, from all evidence together.

It is a logistic model. Before there are decisions its coefficients are reasoned, see `PRIOR`. Decisions move them: the
coefficients are the most probable ones under a normal prior around the reasoned ones. scikit-learn's
`LogisticRegression` draws coefficients to 0, and knows no offset by which it could draw them elsewhere.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from catsdogs.cleaning.duplicates import TWO_LABELS
from catsdogs.cleaning.oddities import KINDS as ODD
from catsdogs.cleaning.suspect_table import Suspect

_Floats = NDArray[np.float64]

_DECADES = (-2.0, 4.0)  # of odds, beyond which a head is not to be believed to the digit
_SURE = 0.25  # of a head's trust in the given label, how much speaks for the row
_FAR = (0.0, 6.0)  # deviations


class Term(NamedTuple):
    """One piece of evidence: its coefficient before there are decisions, and how far decisions may move it."""

    name: str
    prior: float
    spread: float


# The evidence of a suspect, in this order, and what each is worth in log-odds. The counts are those of the 25,000
# training photographs of Dogs vs. Cats Redux: about 35 wrong labels and 15 photographs that show neither animal.
PRIOR = (
    # 35 of 25,000 is a log-odds of -6.6.
    Term("always", -6.6, 1.5),
    # Bayes' rule: the odds that a label is wrong are the odds of any label's being wrong times the odds for another
    # class by a head whose probabilities are calibrated. So ten times the odds count ln 10.
    Term("doubt", float(np.log(10)), 0.8),
    # All three networks vote against 93 photographs, some network against about 300. The 15 that show neither animal
    # are among the 300, and taken to be mostly among the 93. Hence the square of the share of votes.
    Term("votes", 4.0, 1.5),
    # Votes are mostly against pets that are small, or behind bars, and lie less far from others than what is no pet.
    # With the usual distance of those, 3.5 deviations, unanimous votes come to one in three.
    Term("far", 0.5, 0.3),
    # Where no network may vote the distance is all that tells what does not belong.
    Term("far without vote", 0.5, 0.3),
    # One of two labels of one picture is wrong.
    Term("two labels", 6.6, 1.5),
    # A copy does no harm while copies share a fold, so few are dropped.
    Term("copy", 2.0, 1.5),
    # A logo is small and has an odd shape: such pictures are usually no photographs.
    Term("odd", 2.0, 1.0),
)


def decades_of_doubt(score: NDArray[np.floating]) -> _Floats:
    """Odds as powers of ten, from probabilities; a head's trust counts a quarter, as it is often sure of what it sees.

    A photograph of neither animal may look like either. So a head that is sure of the label given says little.
    """
    least = 10.0 ** -_DECADES[1]
    share = np.clip(np.asarray(score, np.float64), least, 1 - least)
    decades = np.clip(np.log10(share / (1 - share)), *_DECADES)
    return np.where(decades < 0, _SURE * decades, decades)


def weigh(suspects: Sequence[Suspect], doubt: NDArray[np.floating], far: NDArray[np.floating]) -> _Floats:
    """(n, terms) the evidence against suspects, columns as in `PRIOR`.

    Args:
        doubt: (n,) the probability of another label than the one given, by heads that did not learn from the row; NaN
            of rows that none could judge, such as test rows.
        far: (n,) by how many deviations the rows lie farther than usual from the nearest ones of their class.
    """
    decades = np.nan_to_num(decades_of_doubt(doubt), nan=0.0)
    near = np.clip(np.nan_to_num(far, nan=0.0), *_FAR)
    share = np.array([one.votes / max(one.networks, 1) for one in suspects], float)
    unvoted = np.array([one.networks == 0 for one in suspects], bool)
    kinds = [one.kinds for one in suspects]
    two_labels = np.array([TWO_LABELS in of for of in kinds], float)
    copy = np.array([bool({"duplicate", "near-duplicate"}.intersection(of)) for of in kinds], float)
    odd = np.array([len(ODD.intersection(of)) for of in kinds], float)
    columns = (np.ones(len(suspects)), decades, share**2, near, near * unvoted, two_labels, copy, odd)
    return np.stack(columns, axis=1)


def believe(evidence: _Floats, coefficients: _Floats | None = None) -> _Floats:
    """(n,) probabilities in [0, 1] that a person would drop or relabel rows; by the prior unless others are given."""
    if coefficients is None:
        coefficients = np.array([term.prior for term in PRIOR])
    probabilities: _Floats = expit(evidence @ coefficients)
    return probabilities


def learn(evidence: _Floats, corrected: NDArray[np.bool_]) -> _Floats:
    """(terms,) the most probable coefficients, given decisions: an offset logistic regression, ridge on what is added.

    Args:
        evidence: (decisions, terms) as `weigh` gives it.
        corrected: (decisions,) whether the row was dropped or relabelled, not kept.
    """
    prior, spread = (np.array([getattr(term, part) for term in PRIOR]) for part in ("prior", "spread"))
    sides = np.where(corrected, 1.0, -1.0)
    offset, design = evidence @ prior, evidence * spread

    def loss(moved: _Floats) -> tuple[float, _Floats]:
        margins = sides * (offset + design @ moved)
        slope = -(sides * expit(-margins)) @ design + moved
        return float(np.logaddexp(0, -margins).sum() + moved @ moved / 2), slope

    found = minimize(loss, np.zeros(len(prior)), jac=True, method="L-BFGS-B")
    coefficients: _Floats = prior + spread * found.x
    return coefficients


def rank(suspects: Sequence[Suspect], evidence: _Floats, decided: Mapping[str, bool]) -> list[Suspect]:
    """The suspects scored by belief, the likeliest to be dropped or relabelled first; equals by split and id.

    Args:
        evidence: (n, terms) as `weigh` gives it.
        decided: train id -> whether a person dropped or relabelled the row; False where it was kept.
    """
    known = [row for row, one in enumerate(suspects) if one.split == "train" and one.id in decided]
    coefficients = (
        learn(evidence[known], np.array([decided[suspects[row].id] for row in known], bool)) if known else None
    )
    scores = believe(evidence, coefficients).tolist()
    scored = [one._replace(score=score) for one, score in zip(suspects, scores, strict=True)]
    return sorted(scored, key=lambda suspect: (-suspect.score, suspect.split, suspect.id))
