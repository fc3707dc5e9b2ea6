"""Cleaning: who does not belong, whose label is doubted, what occurs twice, and what a person decided."""

__all__ = [
    "belief",
    "contact_sheet",
    "decisions",
    "duplicates",
    "knn_outliers",
    "label_errors",
    "outliers",
    "suspect_table",
    "votes",
]
