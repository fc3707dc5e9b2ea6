"""Cleaning: who does not belong, whose label is doubted, what occurs twice, and what a person decided."""

__all__ = ["contact_sheet", "decisions", "duplicates", "label_errors", "outliers", "suspect_table", "votes"]
