"""Bad input as a Python user makes it: one exception of `catsdogs.errors`, one sentence, and nothing written.

And what looks bad and is not, such as a column of a table, works.
"""

import contextlib
import io
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import catsdogs as cd
from catsdogs.errors import CatsdogsError, DatasetError, MissingError, StoreError, TrainingError, UsageError
from catsdogs.errors import UnknownNameError as Unknown
from tests.support.features import table, write_features
from tests.support.front import LITE0

FIRST = "pets/test/1.jpg"
PATHS = [f"pets/train/{kind}.{number}.jpg" for number in range(2) for kind in ("cat", "dog")]
PIXELS = np.arange(40 * 30 * 3, dtype=np.uint8).reshape(40, 30, 3)


@pytest.fixture(scope="module")
def place(workplace: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One working folder for all that is refused, since nothing is written."""
    folder = tmp_path_factory.mktemp("bad")
    shutil.copytree(workplace, folder, dirs_exist_ok=True)
    (folder / "notes.txt").write_text("no picture")
    with contextlib.chdir(folder):
        yield folder


def files_below(folder: Path) -> dict[Path, tuple[int, int]]:
    """Size and time of every file; locks, which are empty and stay, apart."""
    stats = {path: path.stat() for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".lock")}
    return {path: (stat.st_size, stat.st_mtime_ns) for path, stat in stats.items()}


def refuse(call: Callable[[], object], kind: type[CatsdogsError], sentence: str, folder: Path) -> None:
    before = files_below(folder)
    with pytest.raises(CatsdogsError) as caught:
        call()
    assert type(caught.value) is kind
    text = str(caught.value)
    assert sentence in text and text.endswith(".") and "\n" not in text
    assert "--" not in re.sub("`[^`]*`", "", text)  # arguments, but for commands that are to be typed
    assert files_below(folder) == before


def closed() -> io.BufferedReader:
    with Path(FIRST).open("rb") as file:
        return file


def closed_picture() -> Image.Image:
    picture = Image.open(FIRST)
    picture.close()
    return picture


def picture_of_a_closed_file() -> Image.Image:
    with Path(FIRST).open("rb") as file:
        return Image.open(file)


WRONG_PHOTOGRAPHS: list[tuple[str, Callable[[], Any], type[CatsdogsError], str]] = [
    ("missing", lambda: ["a.jpg", FIRST, "b.jpg"], DatasetError, "Row 0 of {}, a.jpg, cannot be read: no such file (1"),
    ("closed", lambda: [FIRST, closed()], UsageError, "Row 1 of {} is a closed file. Give its path"),
    (
        "shares",
        lambda: [PIXELS / 255],
        UsageError,
        "from 0 to 1, not of uint8. Give (255 * array).round().astype('uint8')",
    ),
    ("large", lambda: [PIXELS.astype(int) * 3], UsageError, "int64 from 0 to 765, not of uint8. Scale it to 0 to 255"),
    ("negative", lambda: [PIXELS.astype(int) - 300], UsageError, "from -300 to -45, not of uint8. Scale it"),
    ("whole", lambda: [PIXELS.astype(np.int64)], UsageError, "from 0 to 255, not of uint8. Give array.astype('uint8')"),
    ("texts", lambda: [PIXELS.astype(str)], UsageError, "Row 0 of {} is an array of <U3, not of uint8"),
    (
        "channels",
        lambda: [PIXELS.transpose(2, 0, 1)],
        UsageError,
        "in front. Give height, width, channels: array.transp",
    ),
    (
        "grey",
        lambda: [PIXELS[..., 0]],
        UsageError,
        "Repeat a grey picture for three colours: numpy.dstack([array] * 3)",
    ),
    (
        "alpha",
        lambda: [np.dstack([PIXELS, PIXELS[..., 0]])],
        UsageError,
        "Leave the fourth channel out: array[..., :3]",
    ),
    ("stack", lambda: np.stack([PIXELS] * 2) / 255, UsageError, "of float64 from 0 to 1, not of uint8 (1 more rows"),
    (
        "folder",
        lambda: [FIRST, Path("pets/test")],
        DatasetError,
        "Row 1 of {}, pets/test, cannot be read: it is a folder",
    ),
    ("empty", list, DatasetError, "{} has no rows, so there is no photograph"),
    ("empty array", lambda: np.array([]), DatasetError, "{} has no rows"),
    ("none", lambda: None, UsageError, "{} is of the type NoneType, no list of photographs. Give paths, bytes"),
    ("number", lambda: 7, UsageError, "{} is of the type int, no list of photographs"),
    ("mapping", lambda: {"a": FIRST}, UsageError, "{} is of the type dict, no list of photographs"),
    ("no order", lambda: set(PATHS), UsageError, "{} is of the type set, no list of photographs"),
    ("features", lambda: cd.load(), UsageError, "{} is of the type Features, no list of photographs"),
    (
        "table",
        lambda: pd.DataFrame({"a": PATHS, "b": 1}),
        UsageError,
        "{} is a table, and photographs are a single col",
    ),
    ("nested", lambda: [[FIRST]], UsageError, "Row 0 of {} is of the type list, no photograph"),
    ("hole", lambda: pd.Series([FIRST, np.nan]), UsageError, "Row 1 of {} is of the type float, no photograph"),
    ("blank", lambda: [""], UsageError, "Row 0 of {} is an empty text, no path"),
    ("null", lambda: ["a\0b"], DatasetError, "cannot be read: no such file"),
    ("long", lambda: ["x" * 5000], DatasetError, "cannot be read: File name too long"),
    (
        "array of bytes",
        lambda: np.array([Path(FIRST).read_bytes()]),
        UsageError,
        "which NumPy has cut at their last zeros",
    ),
    ("no picture", lambda: [b"nothing"], DatasetError, "Row 0 of {} cannot be read: not a picture. Replace it"),
    ("no bytes", lambda: [b""], DatasetError, "Row 0 of {} cannot be read: the file is empty"),
    ("closed picture", lambda: [closed_picture()], DatasetError, "Row 0 of {} cannot be read: Pillow's picture has no"),
    (
        "lazy picture",
        lambda: [picture_of_a_closed_file()],
        DatasetError,
        "Row 0 of {} cannot be read: Pillow's picture has",
    ),
    ("no pixels", lambda: [Image.new("RGB", (0, 0))], DatasetError, "cannot be read: Pillow's picture has no pixels"),
]


@pytest.mark.parametrize(
    ("photographs", "kind", "sentence"),
    [row[1:] for row in WRONG_PHOTOGRAPHS],
    ids=[row[0] for row in WRONG_PHOTOGRAPHS],
)
def test_what_is_no_photograph(
    place: Path, photographs: Callable[[], Any], kind: type[CatsdogsError], sentence: str
) -> None:
    """To `predict` and to the transformer alike."""
    refuse(lambda: cd.predict("first", photographs()), kind, sentence.format("photographs"), place)
    # What is broken is found after all others are computed, and these are kept.
    transformer = cd.PretrainedFeatures(LITE0, cache=place.with_name("cache"))
    refuse(lambda: transformer.fit_transform(photographs()), kind, sentence.format("X"), place)


@pytest.mark.parametrize(
    ("call", "kind", "sentence"),
    [
        (lambda: cd.predict("first", [io.StringIO("text")]), UsageError, "is a file of text. Open it with mode 'rb'"),
        (lambda: cd.predict("first", "gone.zip"), DatasetError, "No such folder or zip: gone.zip. Check `photographs`"),
        (
            lambda: cd.predict("first", ["notes.txt"]),
            DatasetError,
            "Row 0 of photographs, notes.txt, cannot be read: not",
        ),
        (lambda: cd.predict(None, [FIRST]), UsageError, "`run` is None. Give a Run, or its name"),  # type: ignore[arg-type]
        (lambda: cd.predict("a/b", [FIRST]), Unknown, "No run is called 'a/b'. Choose from: first"),
        (lambda: cd.Run(""), Unknown, "No run is called ''. Choose from: first"),
        (
            lambda: cd.PretrainedFeatures(LITE0).fit("pets/test"),
            UsageError,
            "X is a folder, pets/test, no list of photogr",
        ),
        (
            lambda: cd.PretrainedFeatures(LITE0).fit(FIRST),
            UsageError,
            "X is a single photograph (str), no list of them",
        ),
        (
            lambda: cd.PretrainedFeatures(LITE0).fit(PIXELS),
            UsageError,
            "X is a single array of the shape (40, 30, 3), no",
        ),
        (
            lambda: cd.PretrainedFeatures(LITE0).fit(iter(PATHS)),
            UsageError,
            "can be gone through only once. Give a list",
        ),
        (
            lambda: cd.PretrainedFeatures(LITE0).fit([io.BytesIO(b"x")]),
            UsageError,
            "Row 0 of X is an open file. Give its",
        ),
        (
            lambda: cd.PretrainedFeatures(cache=None).fit_transform(PATHS),
            UsageError,
            "`cache` is None. Give a text or a p",
        ),
        (
            lambda: cd.PretrainedFeatures(LITE0, cache="features").fit_transform(PATHS),
            StoreError,
            "Choose another folder for vectors",
        ),
        (
            lambda: cd.PretrainedFeatures(LITE0, weights_dir="gone").fit(PATHS),
            cd.errors.WeightsError,
            "Check `weights_dir`",
        ),
    ],
)
def test_what_only_one_of_them_refuses(
    place: Path, call: Callable[[], object], kind: type[CatsdogsError], sentence: str
) -> None:
    refuse(call, kind, sentence, place)


@pytest.mark.parametrize(
    ("backbones", "kind", "sentence"),
    [
        ("", UsageError, "No network is named. Give names such as lite,Xception"),
        ([], UsageError, "No network is named"),
        (" , ", UsageError, "No network is named"),
        (3, UsageError, "`backbones` is 3. Give a text or a list of texts"),
        ([LITE0, None], UsageError, "`backbones` has an item that is None"),
        ([[LITE0]], UsageError, "`backbones` has an item that is of the type list"),
        (Path(LITE0), UsageError, "`backbones` is of the type PosixPath"),
        ("Nought", Unknown, "is called 'Nought'. Choose from: "),
    ],
)
def test_networks_that_cannot_be(place: Path, backbones: Any, kind: type[CatsdogsError], sentence: str) -> None:
    refuse(lambda: cd.extract("pets", backbones), kind, sentence, place)
    refuse(lambda: cd.load("features", backbones), kind, sentence, place)
    refuse(lambda: cd.PretrainedFeatures(backbones).fit(PATHS), kind, sentence, place)


RIDGE: dict[str, Any] = {"head": "ridge", "name": "new", "folds": 2}


@pytest.mark.parametrize(
    ("told", "kind", "sentence"),
    [
        ({"name": "a/b"}, UsageError, "The run name 'a/b' is not that of a folder. Give `name` letters"),
        ({"name": "x" * 300}, UsageError, "is not that of a folder"),
        ({"name": "a\0b"}, UsageError, "`name` is 'a\\x00b'. Give a text without null characters"),
        ({"name": "first"}, TrainingError, "Choose another `name`, or replace it with `force`"),
        ({"name": None}, UsageError, "`name` is None. Give a text"),
        ({"folds": "5"}, UsageError, "`folds` is '5'. Give a whole number, such as 5"),
        ({"folds": 2.5}, UsageError, "`folds` is 2.5. Give a whole number"),
        ({"folds": True}, UsageError, "`folds` is True. Give a whole number"),
        ({"folds": 1}, UsageError, "1 folds. Give `folds` a number of 2 or more"),
        ({"seed": -1}, UsageError, "The seed -1. Give `seed` a number from 0"),
        ({"seed": "7"}, UsageError, "`seed` is '7'. Give a whole number, such as 2018"),
        (
            {"head": LogisticRegression()},
            UsageError,
            "`head` is of the type LogisticRegression. Give a text, such as 'bl",
        ),
        ({"head": "logistic", "settings": {"D": 1}}, Unknown, "No setting of the head logistic is called 'D'"),
        ({"settings": "C=1"}, UsageError, "`settings` is 'C=1'. Give a mapping, such as {'C': 0.1}"),
        ({"relabel": [("cat.0", "dog"), ("cat.0", "cat")]}, UsageError, "The id cat.0 has two labels, dog and cat"),
        ({"relabel": pd.Series(["dog", "cat"], ["cat.0"] * 2)}, UsageError, "The id cat.0 has two labels, dog and cat"),
        (
            {"relabel": pd.DataFrame({"label": ["dog"]})},
            UsageError,
            "The index '0' is the id of no training photograph",
        ),
        ({"relabel": pd.DataFrame({"kind": ["dog"]})}, UsageError, "The frame has no column label, but kind"),
        ({"relabel": {"cat.0": np.nan}}, UsageError, "cat.0 cannot be relabelled as 'nan'. Give it one of the classes"),
        ({"relabel": "cat.0"}, UsageError, "'c' is no pair of id and label"),
        ({"relabel": 3}, UsageError, "3 is no pair of id and label"),
        ({"outliers": "mine"}, Unknown, "No policy for `outliers` is called 'mine'"),
        ({"repeats": "2"}, UsageError, "`repeats` is '2'. Give a whole number"),
        ({"balance": "no"}, UsageError, "`balance` is 'no'. Give True or False"),
        ({"metric": None}, UsageError, "`metric` is None. Give a text"),
        ({"data": "gone"}, DatasetError, "No such folder or zip: gone. Check `data`, or run `catsdogs fetch`"),
        ({"fold": 2}, Unknown, "No argument is called 'fold'. Choose from: balance"),
    ],
)
def test_what_cannot_be_trained(place: Path, told: dict[str, Any], kind: type[CatsdogsError], sentence: str) -> None:
    refuse(lambda: cd.train(cd.load(), **{**RIDGE, **told}), kind, sentence, place)


@pytest.mark.parametrize("given", ["features", Path("features"), None, np.eye(3), ["features"]], ids=str)
def test_what_are_no_features(place: Path, given: Any) -> None:
    opened = "Give what catsdogs.load or catsdogs.extract returns"
    if isinstance(given, str | Path):
        opened += ", such as catsdogs.load('features')"
    for call in (cd.train, cd.compare, cd.outliers):
        refuse(lambda call=call: call(given), UsageError, opened, place)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("call", "kind", "sentence"),
    [
        (lambda: cd.outliers(cd.load(), k=0), UsageError, "`k` 0, and 10 labels are kept. Give a number from 1 to 10"),
        (lambda: cd.outliers(cd.load(), k="5"), UsageError, "`k` is '5'. Give a whole number"),  # type: ignore[arg-type]
        (lambda: cd.compare(cd.load(), heads=["ridge"], data="pets"), UsageError, "Leave `data` out"),
        (lambda: cd.look(None), UsageError, "`data` is None. Give a text or a path"),  # type: ignore[arg-type]
        (lambda: cd.look("pets", holdout=2), UsageError, "`holdout` 2 is no share of photographs"),
        (lambda: cd.look("pets", labels=None), UsageError, "`labels` is None. Give a text"),  # type: ignore[arg-type]
        (lambda: cd.extract("pets", LITE0, limit=0), UsageError, "Give `limit` a number above 0"),
        (lambda: cd.extract("pets", LITE0, batch_size=0), UsageError, "Give `batch_size` a number above 0"),
        (lambda: cd.load("gone"), StoreError, "gone holds no feature files"),
        (lambda: cd.load(f"features/{LITE0}.h5"), StoreError, "is a file, no folder of feature files"),
        (lambda: cd.load("features", "file:gone.npz"), MissingError, "No file of vectors gone.npz"),
        (lambda: cd.Run("first").report("gone"), DatasetError, "No such folder or zip: gone. Check `data`"),
        (lambda: cd.Features("features"), UsageError, "`files` is 'features'"),  # type: ignore[arg-type]
    ],
)
def test_what_else_cannot_be(place: Path, call: Callable[[], object], kind: type[CatsdogsError], sentence: str) -> None:
    refuse(call, kind, sentence, place)


def test_features_of_two_data_sets(inside: Path) -> None:
    write_features(inside / "features", table(["cat.0", "dog.0"], ["1"]), "ResNet50", width=3)
    refuse(lambda: cd.load(), StoreError, "features/ResNet50.h5 lacks 14 train rows: cat.1", inside)


def test_features_and_runs_from_another_working_folder(inside: Path) -> None:
    features, run = cd.load(), cd.Run("first")
    (inside / "elsewhere").mkdir()
    with contextlib.chdir("elsewhere"):
        assert "16 train" in repr(features) and "first" in run._repr_html_()
        for use in (lambda: run.submission, lambda: run.oof, run.report, lambda: cd.predict(run, [FIRST])):
            refuse(use, UsageError, "The run first was opened in", inside)
        for call in (cd.train, cd.compare, cd.outliers, cd.Features.frame):
            refuse(lambda call=call: call(features), UsageError, "The folder features was opened in", inside)  # type: ignore[misc]
    assert cd.train(features, **RIDGE).score == cd.Run("first").score


def test_what_may_look_wrong_and_works(place: Path) -> None:
    """As many answers and rows as photographs, in their order, and the same bits for the same files."""
    with contextlib.ExitStack() as stack:
        ways = [
            pd.Series(PATHS, index=list("dcba")),
            pd.DataFrame({"path": PATHS}),
            np.array(PATHS),
            np.array([Path(path) for path in PATHS], object),
            np.array(PATHS).reshape(-1, 1),
            [Path(path).read_bytes() for path in PATHS],
        ]
        only_here: list[Any] = [
            (path for path in PATHS),
            [stack.enter_context(Path(path).open("rb")) for path in PATHS],
        ]
        answers, vectors = (
            cd.predict("first", PATHS),
            cd.PretrainedFeatures(LITE0, cache=place / "cache").transform(PATHS),
        )
        assert len(np.unique(answers.values, axis=0)) == len(PATHS)
        for given in (*ways, *only_here):
            assert np.array_equal(cd.predict("first", given).values, answers.values)
        for given in ways:
            model = cd.PretrainedFeatures((LITE0,), cache=place / "cache")
            assert np.array_equal(model.fit(given).transform(given), vectors)
    stack_of_two = np.stack([PIXELS, PIXELS[::-1]])
    assert len(cd.predict("first", stack_of_two)) == len(cd.PretrainedFeatures(LITE0).transform(stack_of_two)) == 2
    column = pd.DataFrame({"path": PATHS})
    pipeline = make_pipeline(cd.PretrainedFeatures(f" {LITE0} ,", place / "cache"), LogisticRegression())
    assert clone(pipeline).fit(column, [0, 1, 0, 1]).predict(column).shape == (4,)
    assert cd.load("features", (LITE0,)).backbones == cd.load("features", f" {LITE0}, ").backbones == [LITE0]
    with pytest.raises(ValueError, match="Invalid parameter 'nought'"):  # scikit-learn's own
        cd.PretrainedFeatures().set_params(nought=1)
    run = cd.train(cd.load(), "ridge", name="numpy", folds=np.int64(2), seed=np.int32(2018))  # type: ignore[arg-type]
    assert run.score == cd.Run("first").score
    both = [
        cd.compare(cd.load(), heads=heads, folds=2) for heads in ("ridge,logistic[C=0.1]", ["ridge", "logistic[C=0.1]"])
    ]
    assert [entry.head for entry in both[0].entries] == [entry.head for entry in both[1].entries]
