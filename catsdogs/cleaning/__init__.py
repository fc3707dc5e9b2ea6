"""Cleaning: who does not belong, whose label is doubted, what occurs twice, and what a person decided."""
