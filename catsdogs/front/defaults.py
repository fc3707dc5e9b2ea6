"""What holds where nobody says otherwise: folders and settings, the same in Python and on the command line."""

from pathlib import Path

SUBMISSIONS = Path("submissions")  # the folder of runs, which nothing changes
DEFAULTS = {
    "data": "data/dogs-vs-cats",
    "labels": "",
    "images": "",
    "positive": "",
    "kind": "",
    "groups": "",
    "metric": "",
    "competition": "",
    "features": "features",
    "backbones": "ResNet50,InceptionV3,Xception",
    "weights_dir": "",
    "engine": "auto",
    "precision": "auto",
    "batch_size": "",
    "dtype": "float32",
    "head": "blend",
    "folds": "5",
    "seed": "2018",
    "outliers": "decided",
    "worker_cores": "1",
}
FEATURES, HEAD, OUTLIERS = DEFAULTS["features"], DEFAULTS["head"], DEFAULTS["outliers"]
FOLDS, SEED = int(DEFAULTS["folds"]), int(DEFAULTS["seed"])
