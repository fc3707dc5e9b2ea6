"""The command line, a table of contents: the name of each task, and the room that it is about."""

from invoke import Collection

from catsdogs.commands import (
    blending,
    cleaning,
    competition,
    demo,
    exporting,
    features,
    finetuning,
    networks,
    photographs,
    report,
    runs,
    scoring,
    twins,
    web,
    workspace,
)
from catsdogs.commands.console import Program

collection = Collection(
    fetch=competition.fetch,
    look=photographs.look,
    networks=networks.networks,
    features=features.features,
    vectors=features.vectors,
    outliers=cleaning.outliers,
    train=runs.train,
    blend=blending.blend,
    compare=scoring.compare,
    replay=scoring.replay,
    predict=runs.predict,
    grade=competition.grade,
    submit=competition.submit,
    report=report.report,
    export=exporting.export,
    serve=web.serve,
    finetune=finetuning.finetune,
    distill=finetuning.distill,
    ablate=finetuning.ablate,
    filters=finetuning.filters,
    verify=twins.verify,
    fewshot=twins.fewshot,
    shards=photographs.shards,
    status=workspace.status,
    demo=demo.demo,
    clean=workspace.clean,
)


def main() -> None:
    """The console command `catsdogs`."""
    Program(collection).run()
