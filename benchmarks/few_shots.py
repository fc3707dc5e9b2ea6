"""What centring does to the nearest class mean, and the examples' own scale to the twins' probabilities.

`python -m benchmarks.few_shots TITLE=FEATURES:WHAT ...`, where WHAT is a run of the head twin, `submissions/twin`, or
the classes to hold out, separated by commas.
"""

import sys
from pathlib import Path

from benchmarks.report import table, wrapped
from catsdogs.features import feature_file
from catsdogs.networks.choice import expand
from catsdogs.scoring.measuring import mean_and_error
from catsdogs.twins import fewshot
from catsdogs.twins.example_scale import AS_LEARNT, BY_EXAMPLES
from catsdogs.twins.fewshot import MEAN, NEIGHBOUR

SHOTS, EPISODES, SEED, NETWORKS = (1, 2, 5), 200, 1, "lite"


def lines_of(title: str, features: Path, what: str) -> tuple[list[list[str]], list[list[str]]]:
    """Of each number of examples a line of accuracies, and one of log losses where the examples have a scale."""
    files = [feature_file.read_features(feature_file.path_of(features, name)) for name in expand(NETWORKS)]
    new, run = ((), Path(what)) if "/" in what else (what.split(","), None)
    prepared = fewshot.prepare(files, new, max(SHOTS), EPISODES, SEED, run)
    accuracies, log_losses = [], []
    for shots in SHOTS:
        setup = prepared._replace(shots=shots)
        centred, plain = fewshot.evaluate(setup), fewshot.evaluate(setup._replace(learnt_vectors=None))
        cells = [title, f"{shots}"]
        for method in (MEAN, NEIGHBOUR):
            gain, error = mean_and_error(centred.accuracy[method] - plain.accuracy[method])
            before, after = (100 * result.accuracy[method].mean() for result in (plain, centred))
            cells.append(f"{before:.1f} → {after:.1f} ({100 * gain:+.1f} ± {100 * error:.1f})")
        accuracies.append(cells)
        if BY_EXAMPLES in centred.log_loss:
            before, after = (centred.log_loss[scaled] for scaled in (AS_LEARNT, BY_EXAMPLES))
            gain, error = mean_and_error(after - before)
            figures = f"{before.mean():.3f} → {after.mean():.3f}", f"{gain:+.3f} ± {error:.3f}"
            log_losses.append([title, f"{shots}", *figures])
    return accuracies, log_losses


def main() -> None:
    accuracies, log_losses = list[list[str]](), list[list[str]]()
    for given in sys.argv[1:]:
        title, _, rest = given.partition("=")
        features, _, what = rest.rpartition(":")
        for lines, more in zip((accuracies, log_losses), lines_of(title, Path(features), what), strict=True):
            lines += more
    print(wrapped(table(["", "examples", MEAN, NEIGHBOUR], accuracies)))
    print(wrapped(table(["", "examples", "log loss of the twins", "difference"], log_losses)))


if __name__ == "__main__":
    main()
