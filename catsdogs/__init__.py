"""Pretrained features once, many heads: a feature-extraction ensemble for image competitions."""

__version__ = "0.1.0"
