"""Twins are heads that learnt whether two photographs show the same class; here they judge classes they never saw."""

__all__ = ["example_scale", "fewshot", "verification"]
