"""What a competition's files can be wrong about, each in one line; and hidden photographs, of which some are gone."""

from pathlib import Path

import pytest

from catsdogs.errors import CatsdogsError, DatasetError
from catsdogs.photographs.dataset import scan, scan_asked
from catsdogs.photographs.recognition import Given
from tests.conftest import refused
from tests.support.competitions import LABELS, SAMPLE, TEST, TRAIN, asked, competition
from tests.support.datasets import class_names, ids


class TestWrongTurns:
    @pytest.mark.parametrize(
        ("tables", "said"),
        [
            (
                {"sample_submission.csv": "id,label\nu,0.5\nv,0.5\n17,0.5\n"},
                "asks for 1 photographs that are not there: 17; its ids are numbers, such as 17, files",
            ),
            (
                {"sample_submission.csv": SAMPLE.replace(",0.5", ".png,0.5")},
                "asks for 3 photographs that are not there: u.png, v.png, w.png; its ids are with suffix",
            ),
            ({"sample_submission.csv": "id,label\n"}, "has no rows, so it asks for no photographs"),
            ({"sample_submission.csv": ""}, "none says what is wanted"),
            ({"sample_submission.csv": "id\nu\nv\n"}, "has the columns id: none says what is wanted"),
            ({"sample_submission.csv": SAMPLE + "u,0.5\n"}, "row 5 asks for u again, first asked for in row 2"),
            ({"sample_submission.csv": SAMPLE + "x\n"}, "row 5 has 1 cells, where the first line has 2"),
            (
                {"sample_submission.csv": SAMPLE, "stage2_sample_submission.csv": SAMPLE + "x,0.5\n"},
                "holds several sample submissions, which differ: sample_submission.csv, stage2_sample_submission.csv",
            ),
            ({"sample_submission.csv": SAMPLE, "labels.csv": LABELS + "a,1\n"}, "row 8 lists a again"),
            (
                {"sample_submission.csv": SAMPLE, "labels.csv": "id,label\nq,0\nr,1\n"},
                "labels.csv names none of the 6 photographs, whose names are like train/a.jpg",
            ),
            (
                {"sample_submission.csv": "id,0,1,2\nu,1,0,0\nv,1,0,0\nw,1,0,0\n"},
                "asks for 2, and no photograph has that label",
            ),
            (
                {
                    "sample_submission.csv": "id,0,1\nu,1,0\nv,1,0\nw,1,0\n",
                    "labels.csv": LABELS.replace("f,1", "f,7"),
                },
                "never asks for the label 7; its columns are 0, 1",
            ),
            (
                {"sample_submission.csv": SAMPLE, "labels.csv": LABELS.replace(",1", ",0")},
                "all labelled photographs are 0, so there is nothing to tell apart",
            ),
        ],
    )
    def test_is_one_clear_line(self, tmp_path: Path, tables: dict[str, str], said: str) -> None:
        root = competition(tmp_path, TRAIN + TEST, {"labels.csv": LABELS} | tables)
        with refused(CatsdogsError, said):
            scan(root)

    @pytest.mark.parametrize(
        ("labels", "sample", "kind", "said"),
        [
            (
                "id,tags\na,x\nb,x y\nc,y\nd,x\ne,y\nf,x\n",
                "id,tags\nu,0.5\nv,0.5\nw,0.5\n",
                "",
                "asks for one number, tags, such as 0.5, and photographs have several of 2 labels: x, y",
            ),
            ("id,x,y\na,1,0\nb,1,1\nc,0,1\n", "id,x,y\nu,0,0\nv,0,0\nw,0,0\n", "classes", "Leave --kind classes out"),
            ("id,x,y\na,1,0\nb,1,2\nc,0,1\n", "id,x,y\nu,0,0\nv,0,0\nw,0,0\n", "", "Give --kind number, if"),
            ("id,x,y\na,1,0\nb,1,2\nc,0,1\n", "id,x,y\nu,0,0\nv,0,0\nw,0,0\n", "labels", "row 3: .* not 0 and 1"),
            ("id,x,y\na,1.5,0\nb,,2\nc,0,1\n", "id,x,y\nu,0,0\nv,0,0\nw,0,0\n", "", "row 3: .* not a number in each"),
            ("id,x,y\na,1,0\nb,1,q\nc,0,1\n", "id,x,y\nu,0,0\nv,0,0\nw,0,0\n", "", "row 3: .*hold 1, q, not"),
            (
                "id,tags\na,x|y\nb,x\nc,y\nd,z\n",
                "id,x,y\nu,0,0\nv,0,0\nw,0,0\n",
                "",
                "never asks for the label z; its columns are x, y",
            ),
            (
                "id,size\na,1\nb,2\nc,big\n",
                "id,size\nu,1\nv,1\nw,1\n",
                "number",
                "size holds 'big', which is not a number, for .*c.jpg",
            ),
            ("id,size\na,1\nb,2\nc,big\n", "id,size\nu,1\nv,1\nw,1\n", "ordinal", "holds 'big', .* for .*c.jpg"),
            (
                "id,x,y\na,1,0\nb,1,2\nc,0,1\n",
                "id,x,y\nu,0,0\nv,0,0\nw,0,0\n",
                "",
                "row 3: .* hold 2, which is neither",
            ),
            (
                "id,size\na,1\nb,2\nc,3\n",
                "id,size\nu,1\nv,1\nw,1\n",
                "binary",
                "--kind binary, and there are 3 classes",
            ),
            ("id,size\na,1\nb,2\nc,3\n", "id,size\nu,1\nv,1\nw,1\n", "mood", "No kind is called 'mood'"),
            (
                "id,size\na,1\nb,2\nc,3\n",
                "id,1,2,3\nu,1,1,1\nv,1,1,1\nw,1,1,1\n",
                "ordinal",
                "asks for a probability for each class, not for a grade: its columns are 1, 2, 3",
            ),
            (
                "id,size\na,1.5\nb,2\nc,3\n",
                "id,x,y\nu,1,1\nv,1,1\nw,1,1\n",
                "number",
                "asks for x, y, and labels are numbers of size",
            ),
            (
                "id,tags\na,x|y\nb,x|y\nc,y|x\n",
                "id,tags\nu,x\nv,x\nw,x\n",
                "labels",
                "all labelled photographs are x.y",
            ),
        ],
    )
    def test_kinds_that_do_not_fit(self, tmp_path: Path, labels: str, sample: str, kind: str, said: str) -> None:
        root = competition(tmp_path, TRAIN + TEST, {"train.csv": labels, "sample_submission.csv": sample})
        with refused(CatsdogsError, said):
            scan(root, given=Given(kind=kind, labels="train.csv"))

    def test_the_one_sample_can_be_given(self, tmp_path: Path) -> None:
        tables = {
            "labels.csv": LABELS,
            "sample_submission.csv": SAMPLE,
            "stage2_sample_submission.csv": "id,label\nu,0.5\n",
        }
        root = competition(tmp_path, TRAIN + TEST, tables)
        assert set(asked(scan(root / "stage2_sample_submission.csv"))) == {"u"}

    def test_without_labels(self, tmp_path: Path) -> None:
        with refused(DatasetError, "has no labelled photographs besides the 3 that sample_submission.csv asks for"):
            scan(competition(tmp_path, TEST, {"sample_submission.csv": SAMPLE}))


class TestHiddenPhotographs:
    def test_those_that_are_gone_are_named(self, tmp_path: Path) -> None:
        root = competition(tmp_path, TEST[:2], {"sample_submission.csv": SAMPLE})
        found = scan_asked(root)
        assert found
        dataset, sample = found
        assert ids(dataset, "test") == ["u", "v"] and sample.missing == ["w"] and class_names(dataset) == {}

    def test_none_is_there(self, tmp_path: Path) -> None:
        found = scan_asked(competition(tmp_path, [], {"sample_submission.csv": SAMPLE}))
        assert found and found[1].missing == ["u", "v", "w"] and not found[0].photographs

    def test_no_sample(self, tmp_path: Path) -> None:
        assert scan_asked(competition(tmp_path, TEST, {})) is None
