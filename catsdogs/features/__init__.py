"""Features: the vectors that networks make of photographs, computed once and kept in HDF5, rows joined by id."""

__all__ = [
    "by_digest",
    "cluster",
    "extract",
    "feature_file",
    "folds",
    "joining",
    "made_elsewhere",
    "neighbours",
    "recipes",
    "scaling",
    "vector_table",
]
