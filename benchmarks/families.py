"""`python -m benchmarks.families`: families of networks in each engine, beside timm's own loop on the same network.

Weights are random: speed does not depend on them. Each measurement is a process of its own, from files to vectors; what
starts it, loads or compiles a network comes before. timm's loop is a DataLoader over timm's ImageDataset with timm's
transforms, as many workers as cores, in inference mode, eager and compiled.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import parts, photographs
from benchmarks.contenders import Job, ours
from benchmarks.report import machine, number, table
from catsdogs.errors import CatsdogsError, DatasetError
from catsdogs.networks.choice import choose, vary
from catsdogs.networks.engines import selection
from catsdogs.networks.weights import RANDOM_WEIGHTS, obtain

OUT = Path("docs/benchmarks.md")
MARK = "<!-- python -m benchmarks.families -->\n"
LIMIT, ROUNDS, BATCH = 96, 2, 16
FAMILIES = {
    "ViT": "timm:vit_small_patch16_224.augreg_in21k_ft_in1k",
    "ViT without class token": "timm:vit_medium_patch16_gap_240.sw_in12k",
    "DINOv2": "timm:vit_small_patch14_dinov2.lvd142m@224",
    "DINOv2 with registers": "timm:vit_small_patch14_reg4_dinov2.lvd142m@224",
    "DINOv3": "timm:vit_small_patch16_dinov3.lvd1689m",
    "SigLIP 2": "timm:vit_base_patch16_siglip_224.v2_webli",
    "CLIP": "timm:vit_base_patch32_clip_224.openai",
    "EVA-02": "timm:eva02_small_patch14_224.mim_in22k",
    "Swin": "timm:swin_tiny_patch4_window7_224.ms_in1k",
    "ConvNeXt V2": "timm:convnextv2_tiny.fcmae_ft_in22k_in1k",
    "ResNet": "timm:resnet50.a1_in1k",
    "MobileNetV4": "timm:mobilenetv4_conv_medium.e500_r256_in1k",
    "EfficientNet-Lite": "timm:tf_efficientnet_lite0.in1k",
}
ENGINES = ("openvino", "torch")
LOOPS = ("eager", "compiled")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write the part of the report."""
    parser = argparse.ArgumentParser("python -m benchmarks.families", description=__doc__)
    parser.add_argument("--data", type=Path, help="a folder of photographs; drawn ones if not given")
    parser.add_argument("--limit", type=int, default=LIMIT, help="photographs in a measurement")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="catsdogs-families-") as scratch:
            folder = Path(scratch)
            paths = sorted(options.data.rglob("*.jpg")) if options.data else photographs.draw(folder / "drawn", 64)
            if not paths:
                raise DatasetError(f"{options.data} holds no .jpg", "Give --data a folder of photographs, unpacked")
            photographs.link(folder / "linked", photographs.spread(paths, options.limit), options.limit)
            rates = measure(folder / "linked", options.rounds)
        parts.put(options.out, MARK, render(rates, options.limit, options.rounds))
    except CatsdogsError as error:
        print(f"benchmarks.families: {error}", file=sys.stderr)
        return error.exit_code
    print(f"wrote {options.out}")
    return 0


def measure(folder: Path, rounds: int) -> dict[tuple[str, str], list[float]]:
    """Network and way -> photographs a second in each round. A round has every way of a network after the other."""
    rates = defaultdict[tuple[str, str], list[float]](list)
    for turn in range(rounds):
        for network in FAMILIES.values():
            for way in (*ENGINES, *LOOPS):
                command = [sys.executable, "-m", "benchmarks.families", "run", network, way, str(folder)]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603 - ours
                if done.returncode:
                    raise DatasetError(f"{network} cannot be measured, {way}", "Look at its message above")
                rates[network, way].append(json.loads(done.stdout.splitlines()[-1]))
                print(f"round {turn + 1}: {network} {way} {rates[network, way][-1]:.1f}", file=sys.stderr)
    return rates


def render(rates: dict[tuple[str, str], list[float]], limit: int, rounds: int) -> str:
    """This part of docs/benchmarks.md."""
    lines = []
    for family, network in FAMILIES.items():
        (row,) = choose([network])
        mean = {way: sum(rates[network, way]) / len(rates[network, way]) for way in (*ENGINES, *LOOPS)}
        cells = [" and ".join(map(number, rates[network, way])) for way in mean]
        ratio = number(mean["openvino"] / max(mean[way] for way in LOOPS))
        kinds = ", ".join(offered.kind for offered in row.offers)
        lines.append((family, f"`{network}`", kinds, number(row.gflops), *cells, ratio))
    header = ("family", "network", "vectors", "GFLOPs", "OpenVINO", "PyTorch", "timm, eager", "timm, compiled", "ratio")
    return (
        "## Families of networks, beside timm's own loop\n\n"
        f"Written by `python -m benchmarks.families` on {datetime.now(UTC):%Y-%m-%d}; {machine()}. Photographs a "
        f"second, from {limit} JPEGs to vectors, all vectors that a network offers in one pass, in float32, with "
        f"random weights; measured {'once' if rounds == 1 else f'{rounds} times in turn'}. OpenVINO and PyTorch are "
        "this program's engines on the processor. timm's loop is a DataLoader with timm's transforms and a worker for "
        f"each core, batches of {BATCH}, in inference mode. The ratio is OpenVINO's to the faster of timm's two.\n\n"
        f"{table(header, lines)}"
    )


def run(network: str, way: str, folder: str) -> float:
    """Photographs a second of one network in an engine of ours, or in timm's loop."""
    if way in LOOPS:
        return _timms_loop(network, Path(folder), way == "compiled")
    (row,) = choose([network])
    kinds = [offered.kind for offered in row.offers]
    names = vary([network], vector=kinds)
    selection.create_engine(way, "float32", None).load(row.network, obtain(row, RANDOM_WEIGHTS))  # exported once
    job = Job("float32", tuple(choose(names)), Path(folder), Path(folder))
    return len(job.paths) / ours.run(job, way)


def _timms_loop(network: str, folder: Path, is_compiled: bool) -> float:
    import timm
    import torch
    from timm.data import ImageDataset, create_transform, resolve_model_data_config

    (row,) = choose([network])
    usual = timm.get_pretrained_cfg(row.model).input_size[1]
    sized = {} if row.input_size == usual else {"img_size": row.input_size}
    model = timm.create_model(row.model, num_classes=0, **sized).eval()
    config = resolve_model_data_config(model) | {"input_size": (3, row.input_size, row.input_size)}
    transform = create_transform(**config)
    dataset = ImageDataset(str(folder / "all"), transform=transform)
    loader: Any = torch.utils.data.DataLoader(dataset, batch_size=BATCH, num_workers=os.cpu_count() or 1)
    step = torch.compile(model) if is_compiled else model
    with torch.inference_mode():
        for _ in range(2):
            step(torch.zeros(BATCH, 3, row.input_size, row.input_size))
        started = time.perf_counter()
        vectors = torch.cat([step(pixels) for pixels, _ in loader])
        return len(vectors) / (time.perf_counter() - started)


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"]:
        print(json.dumps(run(*sys.argv[2:])))
    else:
        sys.exit(main())
