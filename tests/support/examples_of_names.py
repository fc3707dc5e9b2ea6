"""A script for the installed program's own Python: the examples of all public names, each in a copy of this folder.

`python -P examples_of_names.py` prints, as JSON, where the program is and how many examples of each name were run and
failed. It stands alone: what it is run by has no checkout.
"""

import contextlib
import doctest
import json
import shutil
import sys
import tempfile
from pathlib import Path

import catsdogs as cd


def main() -> None:
    with contextlib.redirect_stdout(sys.stderr):
        cd.train(cd.extract("pets", ["EfficientNetLite0"]), "ridge", name="first", folds=2)
        names = [name for name in cd.__all__ if name not in ("__version__", "errors")]
        counts = {name: examples_of(name) for name in names}
    print(json.dumps({"file": cd.__file__, "examples": counts}))


def examples_of(name: str) -> list[int]:
    """How many examples a name has, and how many of them are wrong; the errors go to standard error."""
    (test,) = doctest.DocTestFinder(recurse=False).find(getattr(cd, name), name, globs={})
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(Path.cwd(), folder, dirs_exist_ok=True)
        with contextlib.chdir(folder):
            failed = doctest.DocTestRunner().run(test).failed
    return [len(test.examples), failed]


if __name__ == "__main__":
    main()
