"""Networks: a table of those that turn photographs into vectors, their weights, and the engines that run them."""

__all__ = [
    "architectures",
    "build",
    "choice",
    "devices",
    "engines",
    "hub_rows",
    "imagenet",
    "listing",
    "quiet",
    "table",
    "trained",
    "weights",
]
