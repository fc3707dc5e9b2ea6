"""Scoring: folds, out-of-fold probabilities, losses, calibration, and heads compared."""

__all__ = [
    "calibration",
    "comparison",
    "comparison_chart",
    "comparison_table",
    "crossval",
    "curves",
    "decisions",
    "grades",
    "kept_heads",
    "likeliest",
    "measuring",
    "metrics",
    "replay",
    "streaming",
    "training_plan",
]
