"""Exporting on the command line: `export` writes a run as one model that answers without this program."""

from catsdogs.commands.console import next_steps, say, task
from catsdogs.commands.flags import refuse_idle_weights
from catsdogs.commands.settings import SUBMISSIONS, Flags


@task(
    "name format weights_dir",
    format="onnx, openvino, keras or tflite: what the model is to be run by",
)
def export(flags: Flags, name: str, format: str) -> None:
    """Write a run as one model, photographs in and answers out, to submissions/<name>/export/<format>/."""
    from catsdogs.front.runs import write_export
    from catsdogs.runs import exporting, run_card

    refuse_idle_weights(flags.weights_dir, run_card.read_run(SUBMISSIONS / name).backbones)
    exported = write_export(SUBMISSIONS / name, format, flags.text("weights_dir"))
    sides = ", ".join(f"{name} of {side} x {side}" for name, side in exported.inputs.items())
    say(f"it takes uint8 RGB squares, resized before: {sides}; docs/deploy.md shows how")
    of = f"{exporting.CHECKED_ON} drawn photographs"
    say(f"largest difference to predict on {of}: {exported.difference:.1g}")
    next_steps("status")
