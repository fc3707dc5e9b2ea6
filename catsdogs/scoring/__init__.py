"""Scoring: folds, out-of-fold probabilities, losses, calibration, and heads compared."""
