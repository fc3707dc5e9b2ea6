"""What shows that a flag does something: a line for every flag of every command."""

from dataclasses import dataclass

NETWORK = "EfficientNetLite0"
ON = ("--backbones", NETWORK)
TUNED = ("--backbone", "four-conv", "--data", "data")
TAUGHT = ("--teacher", "ridged", "--name", "pocket")
FILE = "data/train/cat.0.jpg"  # nothing can be written below it


@dataclass(frozen=True)
class Refused:
    """A value that cannot be used ends the command with one line that matches."""

    value: str
    match: str
    base: tuple[str, ...] = ()
    bare: bool = False  # a flag without a value


@dataclass(frozen=True)
class Instead:
    """With the flag, another refusal than `without` it, or none."""

    without: str
    base: tuple[str, ...]
    value: str = ""


@dataclass(frozen=True)
class Handed:
    """The value reaches the function that does the work, which is stood in for."""

    value: str
    function: str
    base: tuple[str, ...]


@dataclass(frozen=True)
class Elsewhere:
    """A test of another module shows what it does."""

    test: str


Shown = Refused | Instead | Handed | Elsewhere
NUMBER, GONE, TAKEN = "is not a number", "No such folder or zip: nowhere", "already"
COUNTED = "Give --folds a number of 2 or more"
TRAINING: dict[str, Shown] = {
    "--unfreeze": Refused("some", "last-block, all, none"),
    "--tricks": Refused("magic", "Choose from: warmup"),
    "--seed": Refused("-1", "The seed -1"),
    "--size": Refused("1", "--size is too small"),
    "--epochs": Refused("0", "--epochs is too small"),
    "--batch-size": Refused("0", "--batch-size is too small"),
    "--rate": Refused("inf", "--rate inf"),
}
RUN: dict[str, Shown] = {
    "--name": Refused("../x", "run name"),
    "--backbones": Refused("Nothing", "Choose from"),
    "--head": Refused("svm", "Choose from", ON),
    "--set": Refused("softness=2", "No setting of the head blend is called 'softness'", ON),
    "--folds": Refused("1", COUNTED, ON),
    "--seed": Refused("many", NUMBER, ON),
    "--outliers": Refused("maybe", "decided, drop, keep", ON),
    "--features": Refused("nowhere", "No feature file nowhere", ON),
}
NPZ = ("--to", "npz")
IDLE = "--data data would do nothing"
FOR, NO_COMPETITION = ("--competition", "cats"), "is no name of a competition"
OWN_WEIGHTS = "would do nothing: mine bring their own weights"

TASK: dict[str, Shown] = {
    "--labels": Refused("mine.csv", "no table mine.csv", ("--data", "data")),
    "--images": Refused("jpeg", "no photographs in the folder jpeg", ("--data", "data")),
    "--positive": Refused("cow", "No class for --positive is called 'cow'", ("--data", "data")),
    "--kind": Refused("mood", "Choose from: binary, classes, labels", ("--data", "data")),
    "--groups": Refused("colour", "has a column colour", ("--data", "data")),
    "--metric": Refused("beauty", "Choose from: log-loss", ("--data", "data")),
    "--competition": Refused("a/b", NO_COMPETITION, ("--data", "data")),
}

FLAGS: dict[str, dict[str, Shown]] = {
    "fetch": {
        "--source": Refused("moon", "kaggle, microsoft"),
        "--competition": Refused("a/b", NO_COMPETITION),
        "--data": Handed("elsewhere", "catsdogs.competition.fetch.fetch", ("--source", "microsoft")),
    },
    "look": TASK
    | {
        "--data": Refused("nowhere", GONE),
        "--classes": Refused("cow,dog", "cow", ("--data", "data")),
        "--holdout": Refused("2", "--holdout 2", ("--data", "data")),
    },
    "features": TASK
    | {
        "--data": Refused("nowhere", GONE, ON),
        "--backbones": Refused("ResNet5", "Choose from", ("--data", "data")),
        "--vector": Refused("last4", "EfficientNetLite0 has no vector last4", ("--data", "data", *ON)),
        "--size": Refused("7", "EfficientNetLite0 at 7 pixels", ("--data", "data", *ON)),
        "--resize": Refused("stretch", "no such resize", ("--data", "data", *ON)),
        "--views": Refused("flop", "no such views", ("--data", "data", *ON)),
        "--weights-dir": Refused("gone", OWN_WEIGHTS, ("--data", "data", "--backbones", "mine")),
        "--engine": Refused("warp", "Choose from: auto", ("--data", "data", *ON)),
        "--precision": Refused("int3", "Choose from: auto", ("--data", "data", *ON)),
        "--batch-size": Refused("0", "above 0", ("--data", "data", *ON)),
        "--dtype": Refused("int", "float32, float16", ("--data", "data", *ON)),
        "--out": Refused(FILE, "cannot be written", ("--data", "data", *ON)),
        "--limit": Refused("0", "A limit of 0", ("--data", "data", *ON)),
        "--classes": Refused("cow,dog", "cow", ("--data", "data", *ON)),
        "--holdout": Refused("2", "--holdout 2", ("--data", "data", *ON)),
        "--devices": Refused("many", "auto, one, all", ("--data", "data", *ON)),
        "--cluster": Refused("nonsense", "--cluster", ("--data", "data", *ON)),
    },
    "vectors": {
        "--to": Refused("csv", "Choose from: parquet, npz", ON),
        "--backbones": Refused("Nothing", "Choose from", NPZ),
        "--features": Refused("nowhere", "No feature file nowhere", (*NPZ, *ON)),
        "--data": Refused("data", IDLE, (*NPZ, *ON)),
        "--out": Refused("x.txt", "x.txt is no name of a .npz file", (*NPZ, *ON)),
    },
    "networks": {
        "--pattern": Refused("no-such-network", "No network is called 'no-such-network'"),
        "--weights-dir": Refused("gone", "No such folder of weights: gone"),
    },
    "outliers": {
        "--backbones": Refused("Nothing", "Choose from"),
        "-k": Refused("5", "-k would do nothing", ("--backbones", "gap_Old", "--data", "data")),
        "--votes": Refused("1", "--votes would do nothing", ("--backbones", "gap_Old", "--data", "data")),
        "--quartiles": Refused("", "would do nothing", ("--backbones", "gap_Old", "--data", "data"), bare=True),
        "--all": Refused("", "No ImageNet labels", ("--backbones", "gap_Old", "--data", "data"), bare=True),
        "--features": Refused("nowhere", "No feature file nowhere", ON),
        "--data": Refused("nowhere", GONE, ON),
    },
    "train": RUN
    | {
        "--data": Refused("nowhere", GONE, (*ON, "--head", "ridge")),
        "--repeat": Refused("gone", "No run is called 'gone'"),
        "--force": Instead(TAKEN, ("--name", "ridged", "--head", "svm", *ON)),
        "--competition": Refused("a/b", NO_COMPETITION, ("--name", "new", *ON)),
        "--groups": Refused("colour", "The groups by colour stand in the data set", ("--name", "new", *ON)),
        "--repeats": Refused("0", "0 repeats", ("--name", "new", *ON)),
        "--refit": Handed("", "catsdogs.runs.training.train", ("--name", "new", *ON)),
        "--pseudo": Refused("much", NUMBER, ("--name", "new", *ON)),
        "--balance": Handed("", "catsdogs.runs.training.train", ("--name", "new", *ON)),
        "--metric": Refused("beauty", "Choose from: log-loss", ("--name", "new", *ON)),
        "--track": Elsewhere("test_runs.py::test_a_run_is_told_to_mlflow"),
    },
    "blend": {
        "--runs": Refused("ridged,gone", "No run is called 'gone'", ("--name", "new")),
        "--name": Refused("../x", "run name", ("--runs", "ridged,other.csv:0.2")),
        "--features": Refused("nowhere", "No feature file nowhere", ("--runs", "ridged", "--name", "new")),
        "--force": Instead(TAKEN, ("--runs", "gone,other.csv:0.2", "--name", "ridged")),
    },
    "compare": {name: shown for name, shown in RUN.items() if name not in ("--name", "--head", "--set")}
    | {
        "--folds": Refused("1", COUNTED, (*ON, "--heads", "ridge")),
        "--heads": Refused("svm", "Choose from", ON),
        "--repeats": Refused("0", "0 repeats", ON),
        "--groups": Refused("colour", "The groups by colour stand in the data set", ON),
        "--metric": Refused("beauty", "Choose from: log-loss", ON),
        "--data": Refused("data", IDLE, ON),
    },
    "replay": RUN
    | {
        "--protocol": Refused("kaggle", "mlebench", ON),
        "--groups": Refused("colour", "The groups by colour stand in the data set", ON),
        "--data": Refused("data", IDLE, (*ON, "--head", "ridge")),
        "--force": Instead(TAKEN, ("--name", "ridged", "--head", "svm", *ON)),
    },
    "predict": {
        "--name": Refused("gone", "No run is called 'gone'", ("--data", "data")),
        "--data": Refused("nowhere", GONE, ("--name", "ridged")),
        "--out": Refused(f"{FILE}/p.csv", "cannot be written", ("--name", "ridged", "--data", "data")),
        "--weights-dir": Refused("gone", "No such folder of weights", ("--name", "ridged", "--data", "data")),
        "--features": Refused(FILE, "cannot be written", ("--name", "ridged", "--data", "data")),
        "--explain": Elsewhere("test_runs.py::test_predict_explains"),
    },
    "grade": {
        "--name": Refused("gone", "No run is called 'gone'", ("--truth", "data/truth.csv")),
        "--truth": Refused("none.csv", "no such file", ("--name", "ridged")),
    },
    "submit": {
        "--name": Refused("gone", "No run is called 'gone'"),
        "--message": Handed(
            "hello", "catsdogs.competition.kaggle.upload", ("--name", "ridged", "--data", "data", *FOR)
        ),
        "--data": Refused("nowhere", GONE, ("--name", "ridged", *FOR)),
        "--competition": Refused("a/b", NO_COMPETITION, ("--name", "ridged")),
    },
    "report": {
        "--name": Refused("gone", "No run is called 'gone'"),
        "--features": Refused("nowhere", "No feature file nowhere", ("--name", "ridged")),
        "--data": Refused("nowhere", GONE, ("--name", "ridged")),
        "--weights-dir": Refused("gone", "No such folder of weights", ("--name", "ridged", "--data", "data")),
    },
    "export": {
        "--name": Refused("gone", "No run is called 'gone'", ("--format", "openvino")),
        "--format": Refused("zip", "Choose from: onnx, openvino, keras, tflite", ("--name", "ridged")),
        "--weights-dir": Refused("gone", "No such folder of weights", ("--name", "ridged", "--format", "openvino")),
    },
    "serve": {
        "--name": Refused("gone", "No run is called 'gone'"),
        "--features": Refused("nowhere", "No such folder of feature files: nowhere"),
        "--data": Refused("nowhere", GONE),
        "--weights-dir": Refused("gone", "no run whose networks", ("--features", "empty", "--data", "data")),
        "--host": Refused("no.such.host.invalid", "no.such.host.invalid", ("--features", "empty", "--data", "data")),
        "--port": Refused("70000", "65,535"),
    },
    "finetune": TRAINING
    | {
        "--backbone": Refused("nothing", "four-conv"),
        "--name": Refused("lite", "name of a network already"),
        "--data": Refused("nowhere", GONE),
        "--classes": Refused("cow,dog", "cow"),
        "--holdout": Refused("2", "--holdout 2"),
        "--folds": Refused("0", COUNTED),
        "--weights-dir": Refused("weights", "four-conv starts from random weights"),
        "--devices": Refused("many", "one, all"),
        "--force": Instead(TAKEN, ("--backbone", "nothing", "--name", "mine")),
    },
    "distill": TRAINING
    | {
        "--teacher": Refused("gone", "No run is called 'gone'"),
        "--student": Refused("siamese-cnn", "learns from pairs"),
        "--name": Refused("lite", "name of a network already"),
        "--data": Refused("nowhere", GONE),
        "--features": Refused("nowhere", "No feature file nowhere"),
        "--weights-dir": Refused("gone", "No such folder of weights: gone"),
        "--devices": Refused("many", "one, all"),
        "--force": Instead(TAKEN, ("--teacher", "gone", "--name", "mine")),
    },
    "ablate": TRAINING
    | {
        "--backbone": Refused("nothing", "four-conv"),
        "--data": Refused("nowhere", GONE),
        "--classes": Refused("cow,dog", "cow"),
        "--folds": Refused("1", COUNTED),
        "--weights-dir": Refused("weights", "four-conv starts from random weights"),
    },
    "filters": {
        "--name": Refused("gone", "mine"),
        "--layer": Elsewhere("test_finetuning.py::test_finetune_and_filters"),
        "--data": Refused("nowhere", GONE, ("--name", "mine")),
    },
    "verify": {
        "--name": Refused("gone", "No run is called 'gone'", ("--left", FILE, "--right", FILE)),
        "--left": Refused("gone.jpg", "gone.jpg", ("--name", "twins", "--right", FILE)),
        "--right": Refused("gone.jpg", "gone.jpg", ("--name", "twins", "--left", FILE)),
        "--weights-dir": Refused("gone", "No such folder", ("--name", "twins", "--left", FILE, "--right", FILE)),
    },
    "fewshot": {
        "--backbones": Refused("Nothing", "Choose from"),
        "--new": Refused("cow", "cow", ON),
        "--shots": Refused("0", "0 examples", (*ON, "--new", "c,d")),
        "--repeats": Refused("1", "1 episodes", (*ON, "--new", "c,d")),
        "--twin": Refused("gone", "No run is called 'gone'", ON),
        "--name": Refused("../x", "'../x' is not that of a file", (*ON, "--new", "c,d")),
        "--seed": Refused("-1", "seed -1", (*ON, "--new", "c,d")),
        "--features": Refused("nowhere", "No feature file nowhere", ON),
        "--data": Refused("data", IDLE, (*ON, "--new", "c,d")),
    },
    "shards": {
        "--format": Refused("zip", "tfrecord"),
        "--data": Refused("nowhere", GONE),
        "--classes": Refused("cow,dog", "cow", ("--data", "data")),
        "--holdout": Refused("2", "--holdout 2", ("--data", "data")),
        "--count": Refused("0", "0 shards", ("--data", "data")),
        "--size": Refused("0", "--size 0", ("--data", "data")),
        "--out": Refused("data", "lies in data", ("--data", "data")),
    },
    "status": {"--features": Refused("nowhere", "No such folder of feature files: nowhere")},
    "demo": {
        "--data": Refused("nowhere", GONE),
        "--competition": Refused("ten", "No kind of competition is called 'ten'. Choose from: binary"),
    },
    "clean": {"--features": Refused("nowhere", "No such folder of feature files: nowhere")},
}
BASES = {"finetune": TUNED, "ablate": ("--data", "data"), "distill": TAUGHT}
