"""Of many photographs and suspects a report shows a few."""

from dataclasses import replace

import numpy as np
import pytest

from catsdogs import report
from catsdogs.cleaning import suspect_table
from catsdogs.report import choices, evidence, kinds, maps, measures
from tests.support.reports import Elements, ReportedRun


def test_of_many_photographs_the_map_shows_suspects_the_worst_and_a_sample(
    plain: ReportedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    collected = evidence.collect_evidence(plain.folder, plain.files)
    view = kinds.view_of(collected)
    monkeypatch.setattr(choices, "MAP_POINTS", 12)
    monkeypatch.setattr(choices, "MAP_SUSPECTS", 4)
    monkeypatch.setattr(choices, "MAP_WORST", 3)
    map_rows = choices.choose_photographs(collected, view).map_rows
    assert len(set(map_rows.tolist())) == 12 and sorted(map_rows) == map_rows.tolist()
    ids = set(collected.first.ids["train"][map_rows])
    suspects = [suspect.id for suspect in collected.suspects if suspect.split == "train"]
    assert len(suspects) > 4 and set(suspects[:4]) <= ids
    assert set(np.argsort(-collected.losses)[:3]) <= set(map_rows.tolist())
    assert np.array_equal(choices.choose_photographs(collected, view).map_rows, map_rows)
    page = report.page.render_page(
        collected,
        view,
        choices.choose_photographs(collected, view),
        measures.project_vectors(collected.files, map_rows),
        {},
        None,
        "",
        maps.Maps({}),
    )
    assert "12 of 40 training photographs are drawn" in Elements(page).text


def test_of_many_suspects_a_few_of_every_kind_are_shown(plain: ReportedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    collected = evidence.collect_evidence(plain.folder, plain.files)
    view = kinds.view_of(collected)
    reason = suspect_table.Reason(0.001, "small: 39 pixels")
    weak = collected.suspects[0]._replace(split="test", id="<i>0</i>", label="", score=0.001, reasons=(reason,))
    monkeypatch.setattr(choices, "SUSPECTS", 8)
    monkeypatch.setattr(choices, "SUSPECTS_OF_A_KIND", 2)
    shown = choices.choose_photographs(replace(collected, suspects=[*collected.suspects, weak]), view).suspects
    assert len(shown) == 8 and shown[-1] is weak
    scores = [suspect.score for suspect in shown]
    assert scores == sorted(scores, reverse=True)
