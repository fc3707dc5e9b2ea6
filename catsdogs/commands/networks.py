"""Networks on the command line: `networks` lists what --backbones takes."""

from catsdogs.commands.console import next_steps, say, task
from catsdogs.commands.flags import weights_folder
from catsdogs.commands.settings import Flags

HEADER = ("--backbones", "pixels", "vectors", "M", "GFLOPs", "labels", "weights", "licence")


@task(
    "pattern weights_dir",
    pattern="part of a name, or one with wildcards, such as '*ResNet*' or 'timm:vit_small*'; Keras's if not given",
)
def networks(flags: Flags, pattern: str = "*") -> None:
    """List the networks that --backbones takes: input, vectors, cost, licence, and whether weights are at hand."""
    from catsdogs.errors import UsageError
    from catsdogs.networks import choice, listing
    from catsdogs.networks.table import KERAS, TIMM

    names, folder = listing.names(pattern), weights_folder(flags)
    described = names if len(names) <= listing.DESCRIBED else [name for name in names if not name.startswith(TIMM)]
    grid = [HEADER]
    for name in described:
        try:
            (row,) = choice.choose([name], folder)
        except UsageError as error:  # timm has networks that give no vector of a photograph
            say(f"left out: {error}")
            continue
        grid.append(
            (
                name,
                str(row.input_size),
                ", ".join(listing.vectors(row)),
                f"{row.parameters:.1f}" if row.parameters else "",
                f"{row.gflops:.1f}" if row.gflops else "",
                "1,000" if row.source == KERAS and not row.trained else f"{row.labels:,}",
                "here" if listing.is_at_hand(row, folder) else "to download",
                row.licence,
            )
        )
    widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
    numbers = {HEADER.index(name) for name in ("pixels", "M", "GFLOPs", "labels")}
    if len(grid) > 1:
        for line in grid:
            cells = [f"{cell:{'>' if at in numbers else '<'}{widths[at]}}" for at, cell in enumerate(line)]
            say("  ".join(cells).rstrip())
        say("M: millions of parameters without the classifier. GFLOPs: for one photograph, twice the multiply-adds.")
    undescribed = [name for name in names if name not in described]
    for name in undescribed:
        say(name)
    if undescribed:
        say(f"{len(undescribed):,} of timm's: `catsdogs networks` says what at most {listing.DESCRIBED} of them cost")
    next_steps(f"features --backbones {names[0]}", "networks --pattern 'timm:*'")
