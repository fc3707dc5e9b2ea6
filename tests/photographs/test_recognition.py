"""Competitions as their organisers publish them, each in the files that tell what is asked for; pixels are not read."""

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from catsdogs.errors import DatasetError, UnknownNameError
from catsdogs.photographs import description
from catsdogs.photographs.dataset import scan
from catsdogs.photographs.recognition import Given
from catsdogs.photographs.task import BEST_K, NAME, PROBABILITIES, PROBABILITY, Task
from tests.conftest import refused
from tests.support.competitions import LABELS, SAMPLE, TEST, TRAIN, asked, competition, labelled
from tests.support.datasets import write_empty


class TestWhatIsAskedFor:
    def test_a_probability(self, tmp_path: Path) -> None:
        found = scan(competition(tmp_path, TRAIN + TEST, {"train_labels.csv": LABELS, "sample_submission.csv": SAMPLE}))
        task = found.task
        assert (task.kind, task.answer, task.positive, task.metric) == ("binary", PROBABILITY, "1", "log-loss")
        assert (task.id_column, task.id_form, task.targets) == ("id", "without suffix", ("label",))
        assert asked(found) == {name: f"test/{name}.jpg" for name in "uvw"}
        assert labelled(found) == {f"train/{name}.jpg": label for name, label in zip("abcdef", "010101", strict=True)}
        assert not task.may_be_name

    @pytest.mark.parametrize("shown", ["0", "1"])
    def test_a_probability_or_the_class_itself(self, tmp_path: Path, shown: str) -> None:
        tables = {"labels.csv": LABELS, "sample_submission.csv": SAMPLE.replace("0.5", shown)}
        task = scan(competition(tmp_path, TRAIN + TEST, tables)).task
        assert (task.answer, task.may_be_name) == (PROBABILITY, True)

    def test_a_class_is_named(self, tmp_path: Path) -> None:
        kinds = dict(zip("abcdef", ("blast", "tungro") * 3, strict=True))
        tables = {
            "train.csv": "image_id,label,age\n" + "".join(f"{c}.jpg,{kind},{ord(c)}\n" for c, kind in kinds.items()),
            "sample_submission.csv": "image_id,label\n" + "".join(f"{c}.jpg,\n" for c in "uvw"),
        }
        names = [f"train_images/{c}.jpg" for c in "abcdef"] + [f"test_images/{c}.jpg" for c in "uvw"]
        found = scan(competition(tmp_path, names, tables))
        assert (found.task.answer, found.task.kind, found.classes) == (NAME, "binary", ("blast", "tungro"))

    def test_numbers_of_classes(self, tmp_path: Path) -> None:
        tables = {
            "train.csv": "image_id,label\n" + "".join(f"{c}.jpg,{n % 3}\n" for n, c in enumerate("abcdef")),
            "sample_submission.csv": "image_id,label\n" + "".join(f"{c}.jpg,2\n" for c in "uvw"),
        }
        found = scan(competition(tmp_path, TRAIN + TEST, tables))
        assert (found.task.answer, found.task.metric, found.task.id_form) == (NAME, "accuracy", "with suffix")
        assert found.classes == ("0", "1", "2") and set(asked(found)) == {"u.jpg", "v.jpg", "w.jpg"}

    def test_a_column_for_each_class_of_folders(self, tmp_path: Path) -> None:
        names = [f"imgs/train/c{n}/{n}{m}.jpg" for n in range(3) for m in range(2)] + ["imgs/test/7.jpg"]
        found = scan(competition(tmp_path, names, {"sample_submission.csv": "img,c0,c1,c2\n7.jpg,0.3,0.3,0.3\n"}))
        assert (found.task.answer, found.task.targets) == (PROBABILITIES, ("c0", "c1", "c2"))
        assert labelled(found)["imgs/train/c2/21.jpg"] == "c2" and asked(found) == {"7.jpg": "imgs/test/7.jpg"}

    def test_the_best_names(self, tmp_path: Path) -> None:
        tables = {
            "train.csv": "Image,Id\n" + "".join(f"{c}.jpg,w_{n // 2}\n" for n, c in enumerate("abcdef")),
            "sample_submission.csv": "Image,Id\n" + "".join(f"{c}.jpg,w_0 w_1 w_9\n" for c in "uvw"),
        }
        task = scan(competition(tmp_path, TRAIN + TEST, tables)).task
        assert (task.answer, task.best, task.metric) == (BEST_K, 3, "map@3")

    def test_names_with_blanks_are_names(self, tmp_path: Path) -> None:
        names = [f"train/{plant}/{n}.png" for plant in ("Sugar beet", "Common wheat", "Maize") for n in range(2)]
        found = scan(
            competition(tmp_path, [*names, "test/9.png"], {"sample_submission.csv": "file,species\n9.png,Sugar beet\n"})
        )
        assert (found.task.answer, found.classes) == (NAME, ("Common wheat", "Maize", "Sugar beet"))

    def test_one_hot_columns(self, tmp_path: Path) -> None:
        tables = {
            "train.csv": "image_id,healthy,rust,scab\nTrain_0,1,0,0\nTrain_1,0,1,0\nTrain_2,0,0,1\nTest_0,,,\n",
            "test.csv": "image_id\nTest_0\nTest_1\n",
            "sample_submission.csv": "image_id,healthy,rust,scab\nTest_0,0.3,0.3,0.3\nTest_1,0.3,0.3,0.3\n",
        }
        names = [f"images/{name}.jpg" for name in ("Train_0", "Train_1", "Train_2", "Test_0", "Test_1")]
        found = scan(competition(tmp_path, names, tables))
        assert found.classes == ("healthy", "rust", "scab") and found.task.answer == PROBABILITIES
        assert labelled(found) == {f"images/Train_{n}.jpg": found.classes[n] for n in range(3)}

    def test_several_folders_against_one(self, tmp_path: Path) -> None:
        names = [f"{folder}/0000{n}.jpg" for folder in ("Cover", "JUNI", "UERD") for n in range(1, 4)]
        root = competition(tmp_path, [*names, "Test/0001.jpg"], {"sample_submission.csv": "Id,Label\n0001.jpg,0\n"})
        with refused(
            DatasetError, "asks for one number, Label, such as 0, and there are 3 classes.*--positive JUNI,UERD"
        ):
            scan(root)
        found = scan(root, given=Given(positive="UERD, JUNI"))
        assert found.classes == ("Cover", "JUNI+UERD") and found.task.positive == "JUNI+UERD"
        assert labelled(found)["UERD/00003.jpg"] == "JUNI+UERD" and labelled(found)["Cover/00001.jpg"] == "Cover"
        assert found.task.given == {"positive": "UERD, JUNI"}
        with refused(UnknownNameError, "No class for --positive is called 'Stego'. Choose from: Cover, JUNI, UERD"):
            scan(root, given=Given(positive="Stego"))
        with refused(DatasetError, "--positive names all classes"):
            scan(root, given=Given(positive="UERD,JUNI,Cover"))


class TestHowIdsAreWritten:
    @pytest.mark.parametrize(
        ("write", "form"),
        [
            (lambda name: name, "paths"),
            (lambda name: name.removesuffix(".jpg"), "paths without suffix"),
            (lambda name: name.removeprefix("test/"), "with suffix"),
            (lambda name: name.removeprefix("test/").removesuffix(".jpg"), "without suffix"),
        ],
    )
    def test_the_sample_shows_it(self, tmp_path: Path, write: object, form: str) -> None:
        assert callable(write)
        sample = "id,label\n" + "".join(f"{write(name)},0.5\n" for name in TEST)
        found = scan(competition(tmp_path, TRAIN + TEST, {"labels.csv": LABELS, "sample_submission.csv": sample}))
        assert found.task.id_form == form and asked(found) == {write(name): name for name in TEST}

    def test_the_id_column_is_the_one_that_names_photographs(self, tmp_path: Path) -> None:
        names = [f"train/{kind}/{kind}-{n}.jpg" for kind in ("cbb", "cbsd", "cgm") for n in range(2)]
        sample = "Category,Id\ncbb,t-0.jpg\ncbb,t-1.jpg\n"
        found = scan(
            competition(tmp_path, [*names, "test/0/t-0.jpg", "test/0/t-1.jpg"], {"sample_submission_file.csv": sample})
        )
        assert (found.task.id_column, found.task.targets, found.task.answer) == ("Id", ("Category",), NAME)

    def test_the_same_names_in_train_and_test(self, tmp_path: Path) -> None:
        names = [f"{split}/{n}.jpg" for split in ("train", "test") for n in range(1, 5)]
        labels = "name,invasive\n" + "".join(f"{n},{n % 2}\n" for n in range(1, 5))
        found = scan(
            competition(
                tmp_path,
                names,
                {"train_labels.csv": labels, "sample_submission.csv": "name,invasive\n1,0.5\n2,0.5\n3,0.5\n4,0.5\n"},
            )
        )
        assert asked(found) == {str(n): f"test/{n}.jpg" for n in range(1, 5)}
        assert labelled(found) == {f"train/{n}.jpg": str(n % 2) for n in range(1, 5)}

    @pytest.mark.parametrize(
        "sample", ["sampleSubmission.csv", "stage1_sample_submission.csv", "Sample Submission.csv.zip"]
    )
    def test_samples_have_many_names(self, tmp_path: Path, sample: str) -> None:
        found = scan(
            competition(
                tmp_path, TRAIN + TEST, {"labels.csv.zip": LABELS, sample: f",{SAMPLE}".replace("\n", "\n0,", 3)}
            )
        )
        assert set(asked(found)) == {"u", "v", "w"} and found.task.targets == ("label",)

    def test_numbers_that_coco_gives(self, tmp_path: Path) -> None:
        names = [f"{split}/000/{n:02}.jpg" for split in ("train_images", "test_images") for n in range(4)]
        train = {
            "images": [{"id": 10 + n, "file_name": f"000/{n:02}.jpg"} for n in range(4)],
            "annotations": [{"id": n, "image_id": 10 + n, "category_id": 40 + n % 2} for n in range(4)],
            "categories": [{"id": 40, "name": "deer"}, {"id": 41, "name": "hare"}],
        }
        test = {"images": [{"id": n, "file_name": f"test_images/000/{n:02}.jpg"} for n in range(4)]}
        tables = {
            "train_metadata.json": json.dumps(train),
            "test_metadata.json": json.dumps(test),
            "sample_submission.csv": "Id,Predicted\n" + "".join(f"{n},3\n" for n in range(4)),
        }
        found = scan(competition(tmp_path, names, tables))
        assert asked(found) == {str(n): f"test_images/000/{n:02}.jpg" for n in range(4)}
        assert labelled(found) == {f"train_images/000/{n:02}.jpg": str(40 + n % 2) for n in range(4)}
        assert (found.task.answer, found.task.id_form) == (NAME, "as test_metadata.json numbers them")

    def test_file_names_seen_from_a_folder_further_down(self, tmp_path: Path) -> None:
        """As an herbarium's: nybg/train/metadata.json says images/000/01.jpg of nybg/train/images/000/01.jpg."""
        names = [f"nybg/{split}/images/000/{n:02}.jpg" for split in ("train", "test") for n in range(4)]
        write_empty(tmp_path, names)
        images = [{"id": n, "file_name": f"images/000/{n:02}.jpg"} for n in range(4)]
        annotations = [{"image_id": n, "category_id": n % 2, "id": n} for n in range(4)]
        (tmp_path / "nybg/train/metadata.json").write_text(json.dumps({"images": images, "annotations": annotations}))
        (tmp_path / "nybg/test/metadata.json").write_text(json.dumps({"images": images}))
        (tmp_path / "sample_submission.csv").write_text("Id,Predicted\n0,0\n1,0\n2,0\n3,0\n")
        found = scan(tmp_path, given=Given())
        assert asked(found) == {str(n): f"nybg/test/images/000/{n:02}.jpg" for n in range(4)}
        assert labelled(found) == {f"nybg/train/images/000/{n:02}.jpg": str(n % 2) for n in range(4)}

    def test_ids_that_another_table_explains(self, tmp_path: Path) -> None:
        tables = {
            "labels.csv": LABELS,
            "test.csv": "id,path\n" + "".join(f"{n},{name}\n" for n, name in enumerate(TEST)),
            "sample_submission.csv": "id,label\n0,0.5\n1,0.5\n2,0.5\n",
        }
        found = scan(competition(tmp_path, TRAIN + TEST, tables))
        assert asked(found) == {str(n): name for n, name in enumerate(TEST)}


class TestWhereLabelsAre:
    def test_the_table_of_photographs_not_asked_for(self, tmp_path: Path) -> None:
        tables = {
            "train.csv": "StudyUID,age,sex,target,benign_malignant\n"
            + "".join(f"{c},{n}.5,f,{n % 2},{('benign', 'malignant')[n % 2]}\n" for n, c in enumerate("abcdef")),
            "test.csv": "StudyUID,age,sex\nu,1.5,f\nv,2.5,m\nw,3.5,f\n",
            "train_annotations.csv": "StudyUID,label,data\na,1,x\na,0,y\nb,1,z\n",
            "sample_submission.csv": "StudyUID,target\nu,0\nv,0\nw,0\n",
        }
        found = scan(competition(tmp_path, TRAIN + TEST, tables))
        assert labelled(found) == {f"train/{c}.jpg": str(n % 2) for n, c in enumerate("abcdef")}
        assert found.labels_from == "train.csv"

    def test_the_column_can_be_said(self, tmp_path: Path) -> None:
        tables = {
            "labels.csv": "id,label,site\n" + "".join(f"{c},{n % 2},{n // 3}\n" for n, c in enumerate("abcdef")),
            "sample_submission.csv": SAMPLE,
        }
        root = competition(tmp_path, TRAIN + TEST, tables)
        assert labelled(scan(root, given=Given(labels="labels.csv:site")))["train/f.jpg"] == "1"
        assert labelled(scan(root, given=Given(labels=str(root / "labels.csv") + ":site")))["train/e.jpg"] == "1"
        assert labelled(scan(root))["train/e.jpg"] == "0"
        with refused(DatasetError, "has no column town; it has id, label, site"):
            scan(root, given=Given(labels="labels.csv:town"))
        with refused(DatasetError, "has no table other.csv; it has .*labels.csv"):
            scan(root, given=Given(labels="other.csv"))

    def test_a_column_whose_name_only_begins_like_a_label(self, tmp_path: Path) -> None:
        train = "category_id,date,file_name,frames,location\n"
        train += "".join(f"{n % 3},2013-10-05,{c}.jpg,{n},{n // 2}\n" for n, c in enumerate("abcdef"))
        sample = "Id,Predicted\nu,0\nv,0\nw,0\n"
        found = scan(competition(tmp_path, TRAIN + TEST, {"train.csv": train, "sample_submission.csv": sample}))
        assert labelled(found) == {f"train/{c}.jpg": str(n % 3) for n, c in enumerate("abcdef")}

    def test_the_only_column_of_0_and_1_that_nobody_calls_like_the_sample(self, tmp_path: Path) -> None:
        rows = "".join(f"{c},{n}0,{'mf'[n % 2]},{n % 2}\n" for n, c in enumerate("abcdef"))
        sample = SAMPLE.replace("label", "risk")
        root = competition(
            tmp_path, TRAIN + TEST, {"meta.csv": f"id,age,sex,has_tumour\n{rows}", "sample_submission.csv": sample}
        )
        assert labelled(scan(root))["train/b.jpg"] == "1"
        (root / "meta.csv").write_text((root / "meta.csv").read_text().replace(",1\n", ",2\n"))
        with refused(DatasetError, "meta.csv names the photographs, and none of its columns id, age, sex, has_tumour"):
            scan(root)
        assert labelled(scan(root, given=Given(labels="meta.csv:sex")))["train/b.jpg"] == "f"

    @pytest.mark.parametrize(("target", "positive"), [("has_cactus", "cactus"), ("p", "none"), ("none", "none")])
    def test_a_column_that_is_called_after_a_class(self, tmp_path: Path, target: str, positive: str) -> None:
        names = [f"train/{kind}/{n}.jpg" for kind in ("cactus", "none") for n in range(2)]
        sample = SAMPLE.replace("label", target)
        assert scan(competition(tmp_path, names + TEST, {"sample_submission.csv": sample})).task.positive == positive

    def test_zips_of_train_and_a_stage_of_test(self, tmp_path: Path) -> None:
        for name, members in (("train.zip", TRAIN), ("test_stg1.zip", TEST)):
            with zipfile.ZipFile(tmp_path / name, "w") as archive:
                for member in members:
                    archive.writestr(member.replace("test/", "test_stg1/"), b"")
        found = scan(competition(tmp_path, [], {"train.csv": LABELS, "sample_submission_stg1.csv": SAMPLE}))
        assert set(asked(found)) == {"u", "v", "w"} and len(labelled(found)) == 6

    def test_a_table_that_leaves_its_columns_open_does_not_matter_beside_a_clear_one(self, tmp_path: Path) -> None:
        boxes = "id,label,class\n" + "".join(f"{c},{n % 2},{n // 2}\n" for n, c in enumerate("abcd"))
        tables = {
            "train.csv": LABELS.replace("label", "risk"),
            "sample_submission.csv": SAMPLE.replace("label", "risk"),
        }
        root = competition(tmp_path, TRAIN + TEST, tables | {"boxes.csv": boxes})
        assert labelled(scan(root))["train/b.jpg"] == "1"
        (root / "train.csv").unlink()
        with refused(DatasetError, "boxes.csv: the columns label and class could both be that of the labels"):
            scan(root)

    def test_files_that_are_no_text_are_passed_over(self, tmp_path: Path) -> None:
        root = competition(tmp_path, TRAIN + TEST, {"labels.csv": LABELS, "sample_submission.csv": SAMPLE})
        for name in ("boxes.csv", "masks.json"):
            (root / name).write_bytes(b"PK\3\4 not a table")
        assert len(labelled(scan(root))) == 6

    def test_two_tables_that_differ_are_a_question(self, tmp_path: Path) -> None:
        other = LABELS.replace("a,0", "a,1")
        tables = {"one.csv": LABELS, "two.csv": other, "sample_submission.csv": SAMPLE}
        root = competition(tmp_path, TRAIN + TEST, tables)
        with refused(DatasetError, "one.csv, two.csv could both hold the labels.*--labels one.csv"):
            scan(root)
        assert labelled(scan(root, given=Given(labels="two.csv")))["train/a.jpg"] == "1"
        (root / "two.csv").write_text(LABELS)
        assert labelled(scan(root))["train/a.jpg"] == "0"

    def test_what_is_in_no_table_and_not_asked_for_is_left_alone(self, tmp_path: Path) -> None:
        more = ["test/x.jpg", "test/y.jpg", "train/z.jpg", "extra/q.jpg"]
        found = scan(
            competition(tmp_path, TRAIN + TEST + more, {"labels.csv": LABELS, "sample_submission.csv": SAMPLE})
        )
        assert set(asked(found)) == {"u", "v", "w"} and len(labelled(found)) == 6
        assert "4 photographs" in found.notes[-1] and "not asked for" in found.notes[-1]

    def test_jpeg_beside_dicom(self, tmp_path: Path) -> None:
        names = [f"jpeg/{name}" for name in TRAIN + TEST] + [name.replace(".jpg", ".dcm") for name in TRAIN + TEST]
        found = scan(competition(tmp_path, names, {"train.csv": LABELS, "sample_submission.csv": SAMPLE}))
        assert set(asked(found).values()) == {f"jpeg/{name}" for name in TEST}

    def test_one_of_two_folders_of_the_same_names(self, tmp_path: Path) -> None:
        names = [f"{folder}/{name}" for folder in ("small", "large") for name in TRAIN + TEST]
        root = competition(tmp_path, names, {"train.csv": LABELS, "sample_submission.csv": SAMPLE})
        with refused(
            DatasetError, r"asks for u, which may be (small|large)/test/u.jpg or .*--images (small|large)/test"
        ):
            scan(root)
        found = scan(root, given=Given(images="large"))
        assert set(asked(found).values()) == {f"large/{name}" for name in TEST} and len(labelled(found)) == 6
        assert scan(root, given=Given(images=str(root / "large"))).photographs == found.photographs
        with refused(DatasetError, "no photographs in the folder medium"):
            scan(root, given=Given(images="medium"))

    def test_nested_folders_of_hashes(self, tmp_path: Path) -> None:
        names = [f"{name[:-5]}{name[-5]}/{name[-5]}/{name[-5:]}" for name in TRAIN + TEST]
        found = scan(competition(tmp_path, names, {"train.csv": LABELS, "sample_submission.csv": SAMPLE}))
        assert asked(found)["u"] == "test/u/u/u.jpg" and labelled(found)["train/b/b/b.jpg"] == "1"

    def test_a_part_of_the_data_set(self, tmp_path: Path) -> None:
        gone = "".join(f"gone{n},{n % 3}\n" for n in range(60))
        found = scan(
            competition(
                tmp_path,
                TRAIN + TEST,
                {"labels.csv": LABELS + gone, "sample_submission.csv": "id,0,1,2\nu,1,0,0\nv,1,0,0\nw,1,0,0\n"},
            )
        )
        assert len(labelled(found)) == 6 and found.classes == ("0", "1", "2")
        assert "60 are not there, such as gone0" in found.notes[-1] and not found.absent
        few = scan(competition(tmp_path, [], {"labels.csv": LABELS + "gone,0\n", "sample_submission.csv": SAMPLE}))
        assert len(few.absent) == 1  # one photograph that is lost is listed as unreadable


def test_names_that_complete_others_are_labels_of_a_list(tmp_path: Path) -> None:
    """`Science Fiction` never stands alone, and completes two genres that do."""
    cells = ["Drama", "Drama, Science Fiction", "Action, Science Fiction", "Action", "Comedy", "Drama"]
    rows = "".join(f'{c},"{cell}"\n' for c, cell in zip("abcdef", cells, strict=True))
    tables = {"train.csv": f"Id,Genre\n{rows}", "sample_submission.csv": "Id,Genre\nu,Drama\nv,Drama\nw,Drama\n"}
    task = scan(competition(tmp_path, TRAIN + TEST, tables)).task
    assert (task.kind, task.names, task.separator) == ("labels", ("Action", "Comedy", "Drama", "Science Fiction"), ", ")


def test_whole_numbers_are_asked_about() -> None:
    task = Task("classes", NAME, metric="accuracy")
    assert "if they are grades, say --kind ordinal" in description.open_question(task, ["0", "1", "2"])
    assert not description.open_question(task, ["0", "1", "two"])
    assert not description.open_question(replace(task, given={"kind": "classes"}), ["0", "1", "2"])
    assert not description.open_question(replace(task, competition="cassava-leaf"), ["0", "1", "2"])
