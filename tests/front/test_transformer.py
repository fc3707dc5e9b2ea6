"""The transformer as scikit-learn uses it: in pipelines and cross-validation, cloned, kept, named, and checked."""

import io
import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import scipy.sparse
from numpy.typing import NDArray
from PIL import Image
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline, make_union
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import check_estimator

from catsdogs.errors import DatasetError, StoreError, UnknownNameError, UsageError, WeightsError
from catsdogs.front.transformer import PretrainedFeatures
from catsdogs.networks.table import BACKBONES
from tests.conftest import need, refused
from tests.support.datasets import jpeg
from tests.support.extraction import LITE0, LITE1

SEEDS = range(12)


@pytest.fixture(scope="module", autouse=True)
def networks(networks_are_loaded_once: None) -> None:
    need(str(BACKBONES[LITE0].package))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve photographs `0.jpg` to `11.jpg`, and a cache that has Lite0's vectors of them."""
    root = tmp_path_factory.mktemp("photographs")
    for seed in SEEDS:
        (root / f"{seed}.jpg").write_bytes(jpeg(seed))
    PretrainedFeatures(LITE0, root / "vectors").transform(paths_in(root))
    return root


def paths_in(folder: Path) -> list[str]:
    return [f"{folder}/{seed}.jpg" for seed in SEEDS]


def lite0(folder: Path) -> PretrainedFeatures:
    return PretrainedFeatures(LITE0, folder / "vectors")


def test_the_same_vectors_for_paths_bytes_pictures_and_arrays(folder: Path) -> None:
    """Small JPEGs are decoded whole, so that their pixels are those that Pillow gives."""
    paths = paths_in(folder)
    expected = lite0(folder).transform(paths)
    assert expected.shape == (12, 1280) and expected.dtype == np.float32 and len(np.unique(expected, axis=0)) == 12
    data = [Path(path).read_bytes() for path in paths]
    assert np.array_equal(lite0(folder).transform(data), expected)
    assert np.array_equal(lite0(folder).transform(np.array(paths)), expected)
    pictures = [Image.open(io.BytesIO(one)) for one in data]
    arrays = [np.asarray(picture) for picture in pictures]
    for X in (pictures, arrays, np.stack(arrays), [*paths[:4], *data[4:6], *pictures[6:9], *arrays[9:]]):
        got = lite0(folder).transform(X)
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_in_a_pipeline_and_a_grid(folder: Path) -> None:
    X, y = paths_in(folder), np.arange(12) % 2
    model = make_pipeline(lite0(folder), LogisticRegression(C=1)).fit(X, y)
    vectors = lite0(folder).transform(X)
    direct = LogisticRegression(C=1).fit(vectors, y)
    assert np.array_equal(model.predict_proba(X), direct.predict_proba(vectors))
    grid = GridSearchCV(model, {"logisticregression__C": [0.01, 1], "pretrainedfeatures__backbones": [LITE0]}, cv=2)
    assert np.isfinite(grid.fit(X, y).cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize("jobs", [1, 2])
def test_in_a_cross_validation(folder: Path, tmp_path: Path, jobs: int) -> None:
    """With an empty cache, which two processes fill at once where there are two jobs."""
    X, y = paths_in(folder), np.arange(12) % 2
    model = make_pipeline(PretrainedFeatures(LITE0, tmp_path / "vectors"), LogisticRegression(C=1))
    scores = cross_val_score(model, X, y, cv=3, n_jobs=jobs, error_score="raise")
    vectors = lite0(folder).transform(X)
    assert np.array_equal(scores, cross_val_score(LogisticRegression(C=1), vectors, y, cv=3))
    got = cross_val_predict(model, X, y, cv=3, method="predict_proba")
    expected = cross_val_predict(LogisticRegression(C=1), vectors, y, cv=3, method="predict_proba")
    np.testing.assert_allclose(got, expected, rtol=1e-4)


def test_cloned_pickled_and_kept(folder: Path, tmp_path: Path) -> None:
    one = lite0(folder)
    expected = one.fit(paths_in(folder)).transform(paths_in(folder))
    assert clone(one).get_params() == one.get_params() == pickle.loads(pickle.dumps(one)).get_params()
    model = make_pipeline(one, LogisticRegression()).fit(paths_in(folder), np.arange(12) % 2)
    joblib.dump(model, tmp_path / "model")
    again = joblib.load(tmp_path / "model")
    assert np.array_equal(again[0].transform(paths_in(folder)), expected)
    assert np.array_equal(again.predict(paths_in(folder)), model.predict(paths_in(folder)))
    assert repr(PretrainedFeatures(LITE0)) == "PretrainedFeatures(backbones='EfficientNetLite0')"


def test_columns_are_named_by_their_networks(folder: Path) -> None:
    both = PretrainedFeatures([LITE1, LITE0]).get_feature_names_out()
    assert len(both) == 2560 and both[[0, 1279, 1280]].tolist() == [f"{LITE1}_0", f"{LITE1}_1279", f"{LITE0}_0"]
    lite = PretrainedFeatures().get_feature_names_out()
    assert lite.tolist() == PretrainedFeatures(f"{LITE0},{LITE1},EfficientNetLite2").get_feature_names_out().tolist()
    union = make_union(lite0(folder), lite0(folder))
    assert union.fit(paths_in(folder)).get_feature_names_out()[1280] == f"pretrainedfeatures-2__{LITE0}_0"


def test_tables_keep_their_index_and_names(folder: Path) -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"path": paths_in(folder), "age": SEEDS}, index=[f"row {seed}" for seed in SEEDS])
    got = lite0(folder).set_output(transform="pandas").fit_transform(table["path"])
    assert got.index.equals(table.index) and got.columns[1] == f"{LITE0}_1" and (got.dtypes == np.float32).all()
    named = ColumnTransformer([("vectors", lite0(folder), "path"), ("rest", "passthrough", ["age"])])
    joined = named.set_output(transform="pandas").fit_transform(table)
    assert joined.index.equals(table.index) and not joined.isna().any(axis=None)
    assert [*joined.columns[[0, -1]]] == [f"vectors__{LITE0}_0", "rest__age"]
    assert np.array_equal(joined.iloc[:, :-1].to_numpy(np.float32), lite0(folder).transform(paths_in(folder)))


class DrawnRows(PretrainedFeatures):
    """The transformer where scikit-learn's checks hand it tables of numbers: each row is drawn as a picture."""

    def fit(self, X: Any, y: Any = None) -> "DrawnRows":
        super().fit(drawn(X))
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        return super().transform(drawn(X))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.one_d_array = True, False
        return tags


def drawn(X: Any) -> Any:
    if scipy.sparse.issparse(X):
        return X
    return [np.resize(np.ascontiguousarray(row).view(np.uint8), (8, 8, 3)) for row in np.asarray(X, np.float64)]


def test_scikit_learn_takes_it_for_one_of_its_own(folder: Path) -> None:
    """All of its checks for transformers that validate no tables; numbers are no photographs, so they are drawn."""
    reason = "a sparse matrix is refused as no list of photographs, in a sentence that does not have the word"
    expected = dict.fromkeys(
        ("check_estimator_sparse_tag", "check_estimator_sparse_array", "check_estimator_sparse_matrix"), reason
    )
    results = check_estimator(
        DrawnRows(LITE0, folder / "drawn"), on_skip=None, on_fail=None, expected_failed_checks=expected
    )
    assert [(one["check_name"], one["exception"]) for one in results if one["status"] == "failed"] == []
    assert len([one for one in results if one["status"] == "passed"]) > 30
    for X in (scipy.sparse.csr_array(np.eye(3)), np.eye(3), [[1.5]]):
        with refused(UsageError, "Row 0 of X is .*no (photograph|pixels)"):
            lite0(folder).fit(X)


def test_its_tags_say_what_it_takes() -> None:
    tags = get_tags(PretrainedFeatures())
    assert not tags.requires_fit and tags.no_validation and tags.input_tags.string
    assert tags.input_tags.one_d_array and not tags.input_tags.two_d_array and not tags.target_tags.required


def test_fit_checks_and_reads_nothing(folder: Path, tmp_path: Path) -> None:
    torn = tmp_path / "torn.jpg"
    torn.write_bytes(jpeg(1)[:300])
    one = PretrainedFeatures(LITE0, tmp_path / "vectors")
    assert one.fit([torn]) is one and not (tmp_path / "vectors").exists()
    with refused(UnknownNameError, "No backbone is called 'Lite9'"):
        PretrainedFeatures("Lite9").fit([torn])
    with refused(UsageError, "No network is named"):
        PretrainedFeatures([]).fit([torn])
    with refused(WeightsError, "No such folder of weights"):
        PretrainedFeatures(LITE0, weights_dir=tmp_path / "none").fit([torn])
    with refused(DatasetError, "Row 0 of X, .*gone.jpg, cannot be read: no such file"):
        one.fit([tmp_path / "gone.jpg"])
    with refused(UsageError, "Row 1 of X is a closed file"):
        file = io.BytesIO()
        file.close()
        one.fit([torn, file])


def test_photographs_that_cannot_be_read_are_named_by_their_rows(folder: Path, tmp_path: Path) -> None:
    torn = tmp_path / "torn.jpg"
    torn.write_bytes(jpeg(1)[:300])
    closed = Image.open(io.BytesIO(jpeg(1)))
    closed.close()
    X = [jpeg(40), torn, jpeg(41), b"GIF89a", closed]
    with pytest.raises(DatasetError, match=r"Row 1 of X, .*torn.jpg, cannot be read: damaged") as caught:
        lite0(folder).transform(X)
    assert "(2 more rows are wrong: 3, 4)" in str(caught.value) and "\n" not in str(caught.value)
    assert [line.partition(":")[0] for line in caught.value.listed] == ["row 1", "row 3", "row 4"]
    with refused(DatasetError, "Row 1 of X cannot be read: .*closed"):
        lite0(folder).transform([jpeg(40), closed])
    with refused(UsageError, "Row 1 of X is an array of float64 from 0 to 1"):
        lite0(folder).transform([jpeg(40), np.eye(9)[:, :, None].repeat(3, 2)])


def test_a_cache_of_other_vectors_is_refused(folder: Path) -> None:
    with refused(StoreError, "was written with weights: .*not random"):
        PretrainedFeatures(LITE0, folder / "vectors", weights_dir="random").transform(paths_in(folder))


def test_a_cache_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with refused(StoreError, "file.* cannot be written"):
        PretrainedFeatures(LITE0, tmp_path / "file").transform([jpeg(1)])


def test_weights_come_from_where_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATSDOGS_WEIGHTS", str(tmp_path / "none"))
    with refused(WeightsError, "No such folder of weights"):
        PretrainedFeatures(LITE0).fit([jpeg(1)])
