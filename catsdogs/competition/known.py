"""Known competitions in photographs: what each is scored by, and its medal lines where they are published.

A name decides nothing about how files are read.
"""

from typing import NamedTuple

from catsdogs.scoring import metrics


class Line(NamedTuple):
    """A score of a private leaderboard; `rank` is None for the median."""

    name: str
    score: float
    rank: int | None = None


DOGS_VS_CATS = "dogs-vs-cats-redux-kernels-edition"
# Slug -> what its page names under "Evaluation", https://www.kaggle.com/competitions/SLUG/overview/evaluation, by the
# names of `scoring.metrics`; of those in /overview of FGVC's workshops their organisers' pages say the same.
_METRICS = {
    "aerial-cactus-identification": "auc",
    "alaska2-image-steganalysis": "auc",  # weighted by the rate of false alarms
    "aptos2019-blindness-detection": "qwk",
    "cassava-disease": "accuracy",
    "cassava-leaf-disease-classification": "accuracy",
    "cifar-10": "accuracy",
    "diabetic-retinopathy-detection": "qwk",
    "dog-breed-identification": "log-loss",
    DOGS_VS_CATS: "log-loss",
    "happy-whale-and-dolphin": "map@5",
    "herbarium-2020-fgvc7": "f1-macro",
    "herbarium-2021-fgvc8": "f1-macro",
    "herbarium-2022-fgvc9": "f1-macro",
    "histopathologic-cancer-detection": "auc",
    "hotel-id-2021-fgvc8": "map@5",
    "humpback-whale-identification": "map@5",
    "human-protein-atlas-image-classification": "f1-macro",
    "invasive-species-monitoring": "auc",
    "iwildcam-2019-fgvc6": "f1-macro",
    "iwildcam-2020-fgvc7": "accuracy",
    "leaf-classification": "log-loss",
    "paddy-disease-classification": "accuracy",
    "petfinder-pawpularity-score": "rmse",
    "plant-pathology-2020-fgvc7": "mean-auc",
    "plant-pathology-2021-fgvc8": "f1-samples",
    "plant-seedlings-classification": "f1-micro",
    "prostate-cancer-grade-assessment": "qwk",
    "ranzcr-clip-catheter-line-classification": "mean-auc",
    "siim-isic-melanoma-classification": "auc",
    "state-farm-distracted-driver-detection": "log-loss",
    "the-nature-conservancy-fisheries-monitoring": "log-loss",
    "tpu-getting-started": "f1-macro",
    "whale-categorization-playground": "map@5",
}
KNOWN = tuple(_METRICS)
_LINES = {
    # https://www.kaggle.com/c/dogs-vs-cats-redux-kernels-edition/leaderboard
    DOGS_VS_CATS: (
        Line("best", 0.03302, 1),
        Line("gold", 0.03882, 12),
        Line("silver", 0.05038, 65),
        Line("bronze", 0.06127, 131),
        Line("median", 0.12216),
    ),
    # As MLE-bench has them (Chan et al. 2024, https://github.com/openai/mle-bench).
    "dog-breed-identification": (Line("gold", 0.001), Line("bronze", 0.046), Line("median", 0.472)),
}


def metric_of(slug: str) -> str:
    """The name of what a competition is scored by; empty if it is not known."""
    return _METRICS.get(slug, "")


def standing(slug: str, score: float) -> str:
    """The medal lines of a competition, and where among them a score by its metric would fall; empty without lines."""
    lines = _LINES.get(slug, ())
    if not lines:
        return ""
    sign = 1 if metrics.find(metric_of(slug)).higher_is_better else -1
    shown = ", ".join(f"{line.name} ({line.score}{f', rank {line.rank}' if line.rank else ''})" for line in lines)
    better = next((line.name for line in lines if sign * score >= sign * line.score), "")
    place = f"at least {better}" if better else f"behind the {lines[-1].name}"
    return f"Kaggle's private leaderboard: {shown}; this would be {place}, had it been measured on Kaggle's test set"
