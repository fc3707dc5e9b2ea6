"""Networks: a table of those that turn photographs into vectors, their weights, and the engines that run them."""
