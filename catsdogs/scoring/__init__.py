"""Scoring: folds, out-of-fold probabilities, losses, calibration, and heads compared."""

__all__ = [
    "calibration",
    "comparison",
    "comparison_chart",
    "comparison_table",
    "crossval",
    "curves",
    "cut_points",
    "decisions",
    "grades",
    "kept_heads",
    "likeliest",
    "measuring",
    "measuring_targets",
    "metrics",
    "replay",
    "rising",
    "streaming",
    "threshold_search",
    "thresholds",
    "training_plan",
]
