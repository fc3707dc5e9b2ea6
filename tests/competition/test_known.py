import pytest

from catsdogs.competition import known
from catsdogs.scoring import metrics


def test_where_a_score_stands_among_the_medal_lines() -> None:
    places = {0.03: "at least best", 0.0414: "at least silver", 0.05038: "at least silver", 0.5: "behind the median"}
    for figure, place in places.items():
        text = known.standing(known.DOGS_VS_CATS, figure)
        assert place in text and "bronze (0.06127, rank 131)" in text
    assert known.standing("histopathologic-cancer-detection", 0.99) == ""
    assert known.standing("", 0.5) == ""


@pytest.mark.parametrize("slug", known.KNOWN)
def test_each_is_scored_by_a_metric_that_is_there(slug: str) -> None:
    assert metrics.find(known.metric_of(slug)).name == known.metric_of(slug)


def test_what_is_not_known_has_no_metric() -> None:
    assert known.metric_of("cats-against-dogs") == ""
