"""Draws the demo's small data set of cats, dogs and a few pictures without a pet, in Kaggle's layout.

`drawings.txt` beside this module lists the figures as outlines; `easel` paints them over each other.
"""

import io
import math
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image, ImageColor, ImageFilter

from catsdogs.demo.easel import RADIAL, SHAPES, Coat, Colour, Easel, Patch, Reals, blob, clouds, filled, snapshot, turn
from catsdogs.errors import DatasetError
from catsdogs.files.cores import usable
from catsdogs.progress import Progress

TRAIN_PER_CLASS = 200
TEST_COUNT = 100
NO_PET_COUNT = 12
SIZES = ((500, 375), (375, 500), (320, 240), (300, 260), (240, 320), (250, 200))
POSES = {"portrait": 0.4, "sitting": 0.25, "standing": 0.2, "lying": 0.15}
PLACES = ("lawn", "room", "sofa", "studio")
SCENES = ("lawn house", "room fruit", "lawn car", "sea boat", "lawn mountains", "studio letter", "studio test card")
SCENE_HEIGHT = 6.0
BUST = 2.3  # how far below the middle of the head a portrait reaches, in head radii

README = """These pictures are drawings, not photographs. `catsdogs.demo.drawings` made them with Pillow, seed {seed},
so that the whole pipeline can be tried without a download. No score measured on them says anything about photographs.

train/   cat.N.jpg and dog.N.jpg; {no_pet} of them show no pet at all and {damaged} are damaged, on purpose
test/    N.jpg, to be predicted
sample_submission.csv   the form of an answer: id,label with label = probability of dog
truth.csv               the right answers for test/: 0 cat, 1 dog
"""


@cache
def _sections() -> dict[str, list[str]]:
    """The lines of every section of drawings.txt."""
    sections: dict[str, list[str]] = {}
    for line in Path(__file__).with_suffix(".txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            sections[line[1:-1]] = []
        elif line.strip() and not line.startswith("# "):
            sections[next(reversed(sections))].append(line)
    return sections


def pick(rng: np.random.Generator, section: str) -> Colour:
    """One of the colours listed in a section, 0 to 255 each."""
    return _rgb(str(rng.choice(_sections()[section][0].split())))


def _rgb(name: str) -> Colour:
    red, green, blue = ImageColor.getrgb(name)[:3]
    return red, green, blue


def figure(name: str, fills: dict[str, Coat | Colour], rng: np.random.Generator) -> list[Patch]:
    """The patches of one figure of drawings.txt, back to front, its colour names looked up in `fills`."""
    known: dict[str, float] = {}

    def number(text: str) -> float:
        return sum(math.prod(map(factor, term.split("*"))) for term in text.split("+"))

    def factor(text: str) -> float:
        low, _, high = text.partition("~")
        return known[text] if text in known else rng.uniform(float(low), float(high)) if high else float(low)

    patches = []
    for line in _sections()[name]:
        drawn, _, cover = line.partition(":")
        word, *words = drawn.split()
        if word == "let":
            known[words[0]] = number(words[1])
            continue
        colour, grain, relief = cover.split()
        fur_direction = None if grain == "-" else RADIAL if grain == "r" else float(grain)
        shape, *numbers = [word, *words] if word in SHAPES else words
        for _ in range(int(word) if word.isdigit() else 1):
            fill = fills[colour] if colour in fills else _rgb(colour)
            patches.append(Patch(SHAPES[shape](*map(number, numbers)), fill, fur_direction, float(relief)))
        if word == "pair":
            patches.append(patches[-1].mirrored())
    return patches


def backdrop(place: str, rng: np.random.Generator, size: tuple[int, int], shadow: Reals | None = None) -> Easel:
    """An easel of `size` with a blurred place on it, and the shadow, an outline in pixels, of what will stand there."""
    easel = Easel(rng, np.zeros((size[1] // 2, size[0] // 2, 3), dtype=np.float32), rng.uniform(-2.5, -0.6))
    fills = _scene_colours(rng)
    for patch in figure(place, fills, rng):
        easel.paint(patch, size[1] / 2 / SCENE_HEIGHT, (size[0] / 4, 0.0))
    easel.pixels *= 1 + 0.07 * clouds(rng, easel.pixels.shape[:2], 4)[..., None]
    if shadow is not None:
        mask = filled(shadow / 2, easel.pixels.shape[1::-1])
        soft = mask.filter(ImageFilter.GaussianBlur(0.1 * float(np.ptp(shadow[:, 1]))))
        easel.pixels *= 1 - np.asarray(soft, dtype=np.float32)[..., None] / 550
    blurred = easel.picture().filter(ImageFilter.GaussianBlur(rng.uniform(0.1, 2))).resize(size)
    return replace(easel, pixels=np.array(blurred, dtype=np.float32))


def _scene_colours(rng: np.random.Generator) -> dict[str, Coat | Colour]:
    fills: dict[str, Coat | Colour] = {name: pick(rng, name) for name in ("wall", "wood", "green", "bright", "sky")}
    cloth = str(rng.choice(["wall", "wood", "bright"]))
    return fills | {"leaf": pick(rng, "green"), "second": pick(rng, "bright"), "cloth": pick(rng, cloth)}


def draw_pet(kind: str, rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """One "cat" or "dog" as an RGB picture of `size` (width, height) pixels."""
    pose = str(rng.choice(list(POSES), p=list(POSES.values())))
    patches = _animal(kind, pose, rng)
    corners = np.concatenate([patch.outline for patch in patches])
    low, high = corners.min(axis=0), corners.max(axis=0)
    if pose == "portrait":
        high[1] = BUST
    filling = rng.uniform(0.8, 1.3) if rng.random() < 0.93 else rng.uniform(0.3, 0.5)
    unit = filling * float(np.min(np.array(size) / (high - low)))
    x, y = (np.array(size) * rng.uniform((0.42, 0.47), (0.58, 0.6)) - (low + high) / 2 * unit).tolist()
    if pose == "portrait":
        y = max(y, size[1] - BUST * unit)

    middle, reach = (low[0] + high[0]) / 2, (high[0] - low[0]) / 2
    shadow = np.add(blob(middle, high[1], reach, 0.4) * unit, (x, y))
    easel = backdrop(str(rng.choice(PLACES)), rng, size, shadow)
    for patch in patches:
        easel.paint(patch, unit, (x, y))
    if rng.random() < 0.12:
        for patch in figure(str(rng.choice(["post", "cushion", "leaves"])), _scene_colours(rng), rng):
            easel.paint(patch, size[1] / SCENE_HEIGHT, (size[0] / 2, 0.0))
    return snapshot(easel)


def _animal(kind: str, pose: str, rng: np.random.Generator) -> list[Patch]:
    """The patches of an animal, back to front, its head at the origin."""
    *colours, pattern = str(rng.choice(_sections()[f"{kind} coats"])).split()
    base, mark, pale = map(_rgb, colours)
    points, blaze = pattern == "points", pale != base and rng.random() < 0.5
    coat, dark, light = Coat(base, mark, pattern), Coat(mark, mark), Coat(pale, pale)
    pink = tuple(0.55 * a + 0.45 * b for a, b in zip((206, 150, 140), mark if points else base, strict=True))
    fills: dict[str, Any] = {"coat": coat, "dark": dark, "pale": light, "skin": dark if points else coat}
    fills |= {"end": fills["skin"], "paw": dark if points else light, "pink": pink}
    fills |= {"iris": pick(rng, f"{kind} eyes"), "nose": pick(rng, f"{kind} noses")}
    if kind == "cat":
        marks = {"points": ["cat points"], "tabby": ["cat tabby"]}.get(pattern, ["cat blaze"] if blaze else [])
        names = ["cat ears", "cat head", *marks, "cat face"]
    else:
        ears = ["dog pricked", "dog head"] if rng.random() < 0.35 else ["dog head", "dog floppy"]
        mouth = "dog panting" if rng.random() < 0.6 else "dog shut"
        names = [*ears, *(["dog blaze"] if blaze else []), mouth, "dog face"]
    tilt, width = rng.normal(0, 9), rng.uniform(0.85, 1.0)
    head = [patch for name in names for patch in figure(name, fills, rng)]
    head = [replace(patch, outline=turn(patch.outline * (width, 1), tilt)) for patch in head]
    patches = figure(f"{kind} {pose} tail", fills, rng) + figure(pose, fills, rng) + head
    return [patch.mirrored() for patch in patches] if rng.random() < 0.5 else patches


def draw_scene(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """A picture without a pet, RGB, of `size` (width, height) pixels."""
    place, thing = str(rng.choice(SCENES)).split(maxsplit=1)
    easel = backdrop(place, rng, size)
    unit = min(size[1] / SCENE_HEIGHT, size[0] / 5.5)
    middle = size[0] * rng.uniform(0.47, 0.53)
    for patch in figure(thing, _scene_colours(rng), rng):
        easel.paint(patch, unit, (middle, size[1] - unit * SCENE_HEIGHT))
    return snapshot(easel)


def draw_dataset(folder: Path, seed: int = 0) -> dict[str, int]:
    """Draw the demo's data set into `folder`, or leave it alone if it is already complete.

    The same seed gives the same bytes. Everything is drawn in a temporary folder beside `folder`, which then appears
    whole or not at all. Where only some drawings are missing, all are moved in one by one.

    Returns the number of files in train and in test, and of those in train that show no pet or are damaged.

    Raises:
        DatasetError: the folder holds something else.
    """
    motifs = _motifs(seed)
    count = Counter(motifs.values())
    in_test = sum(name.startswith("test/") for name in motifs)
    counts = {"train": len(motifs) - in_test, "test": in_test, "no_pet": count["scene"]}
    counts["damaged"] = count["truncated"] + count["text"]
    readme = README.format(seed=seed, **counts)
    texts = {"sample_submission.csv": "id,label\n", "truth.csv": "id,label\n", "README.txt": readme}
    for number in range(1, in_test + 1):
        texts["sample_submission.csv"] += f"{number},0.5\n"
        texts["truth.csv"] += f"{number},{int(motifs[f'test/{number}.jpg'] == 'dog')}\n"

    label = folder / "README.txt"
    if label.is_file() and label.read_bytes().startswith(README[:40].encode()):
        if label.read_bytes() == readme.encode() and all((folder / name).is_file() for name in [*motifs, *texts]):
            return counts
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DatasetError(f"{folder} holds something else than the demo's drawings", "Name an empty or new folder")

    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        drawn = Path(scratch) / "drawn"
        for split in ("train", "test"):
            (drawn / split).mkdir(parents=True)
        _draw_files(drawn, motifs, seed)
        for name, text in texts.items():
            (drawn / name).write_bytes(text.encode())
        if not folder.exists() or not any(folder.iterdir()):
            drawn.replace(folder)
            return counts
        for name in [*motifs, *texts]:
            (folder / name).parent.mkdir(exist_ok=True)
            (drawn / name).replace(folder / name)
    return counts


def _motifs(seed: int) -> dict[str, str]:
    """File -> what it shows, "cat", "dog" or "scene", or how it is damaged, "truncated" or "text"."""
    rng = np.random.default_rng(seed)
    motifs: dict[str, str] = {}
    for kind, damage in (("cat", "truncated"), ("dog", "text")):
        shown = [kind] * TRAIN_PER_CLASS + ["scene"] * (NO_PET_COUNT // 2) + [damage]
        motifs |= {f"train/{kind}.{i}.jpg": shown[j] for i, j in enumerate(rng.permutation(len(shown)))}
    return motifs | {f"test/{i + 1}.jpg": ("cat", "dog")[j % 2] for i, j in enumerate(rng.permutation(TEST_COUNT))}


def _draw_files(folder: Path, motifs: dict[str, str], seed: int) -> None:
    """Write every picture into `folder`. Threads suffice: Pillow and numpy release the lock while they work."""

    def draw(numbered: tuple[int, str]) -> None:
        number, name = numbered
        rng = np.random.default_rng((seed, number))
        size, motif = SIZES[rng.integers(len(SIZES))], motifs[name]
        if motif == "text":
            (folder / name).write_bytes(b"This is a line of text, not a JPEG.\n")
            return
        kind = name[len("train/") :][:3] if motif == "truncated" else motif
        picture = draw_scene(rng, size) if kind == "scene" else draw_pet(kind, rng, size)
        jpeg = io.BytesIO()
        picture.save(jpeg, "JPEG", quality=int(rng.integers(75, 96)))
        data = jpeg.getvalue()
        (folder / name).write_bytes(data[: len(data) // 2] if motif == "truncated" else data)

    with Progress(len(motifs), "drawing", "picture") as progress, ThreadPoolExecutor(usable()) as pool:
        for _ in pool.map(draw, enumerate(motifs)):
            progress.update()
