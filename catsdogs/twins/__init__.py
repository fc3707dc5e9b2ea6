"""Twins: heads that learnt whether two photographs show the same class, asked about classes they never saw."""
