"""Exporting on the command line: `export` writes a run as one model that answers without this program."""

from catsdogs.commands.console import next_steps, say, task, wrote
from catsdogs.commands.flags import refuse_idle_weights, weights_folder
from catsdogs.commands.settings import SUBMISSIONS, Flags
from catsdogs.front.places import check_writable


@task(
    "name format weights_dir",
    format="onnx, openvino, keras or tflite: what the model is to be run by",
)
def export(flags: Flags, name: str, format: str) -> None:
    """Write a run as one model, photographs in and answers out, to submissions/<name>/export/<format>/."""
    from catsdogs.runs import exporting, run_card

    refuse_idle_weights(flags.weights_dir, run_card.read_run(SUBMISSIONS / name).backbones)
    check_writable(SUBMISSIONS / name)
    exported = exporting.export(SUBMISSIONS / name, format, weights_folder(flags))
    for path in exported.paths:
        wrote(path, f"{path.stat().st_size / 1e6:.1f} MB")
    sides = ", ".join(f"{name} of {side} x {side}" for name, side in exported.inputs.items())
    say(f"it takes uint8 RGB squares, resized before: {sides}; docs/deploy.md shows how")
    of = f"{exporting.CHECKED_ON} drawn photographs"
    say(f"largest difference to predict on {of}: {exported.difference:.1g}")
    next_steps("status")
