"""Fuzz targets for the parsers that are this project's own: `python -m fuzz.pth CORPUS -max_total_time=600`.

Each takes a folder of inputs and libFuzzer's flags. An empty folder is filled with small real ones. An input that makes
a parser fail is left in the current folder as `crash-…`, `timeout-…` or `oom-…`. Needs atheris, on Linux or macOS.
"""
