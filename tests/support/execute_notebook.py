"""A script for an environment's own Python: execute a notebook in this folder, and save what came out.

`python -P execute_notebook.py NOTEBOOK OUT SETTINGS`: SETTINGS are lines of Python that are put after the notebook's
own cell of settings, in a cell of their own, as papermill does. A cell that fails fails the script.
"""

import sys

import nbformat
from nbclient import NotebookClient


def main(notebook: str, out: str, settings: str) -> None:
    book = nbformat.read(notebook, as_version=4)
    (after,) = (number for number, cell in enumerate(book.cells) if "parameters" in cell.metadata.get("tags", ()))
    book.cells.insert(after + 1, nbformat.v4.new_code_cell(settings))
    try:
        NotebookClient(book, timeout=300, kernel_name="python3").execute()
    finally:
        nbformat.write(book, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
