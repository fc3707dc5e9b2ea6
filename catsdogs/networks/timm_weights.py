"""Where the weights of timm's networks lie: a folder of the user's, the Hugging Face cache, or the hub."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from catsdogs.errors import WeightsError
from catsdogs.networks.table import Backbone

_SUFFIXES = (".safetensors", ".bin", ".pth")  # the first is taken before the others
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")  # as timm publishes its networks
_DEEPEST = 7  # folders below the one that is searched: a hub's cache has 4, Kaggle's Models 5


def find(backbone: Backbone, folder: Path) -> Path | None:
    """The weights file of a network somewhere in a folder, whose own path counts as well.

    Either the file has the network's name, with tag or without, or that which its makers gave it, or it lies in a
    folder of this name: in a hub's cache, a Kaggle Model, or by hand. Spelling does not matter: Kaggle allows no dots.
    """
    found = [(_place(backbone, path), path) for path in _files(folder.absolute(), _DEEPEST)]
    known = [(place, path) for place, path in found if place is not None]
    return min(known)[1] if known else None


def find_in_cache(backbone: Backbone) -> Path | None:
    """The weights file in this machine's Hugging Face cache, if it is there."""
    if not _is_on_hub(backbone):
        return None
    from huggingface_hub import try_to_load_from_cache

    found = [try_to_load_from_cache(backbone.repository, file) for file in _HUB_FILES]
    return next((Path(path) for path in found if isinstance(path, str)), None)


def download(backbone: Backbone) -> Path:
    """Download the weights file from the Hugging Face hub into its cache.

    Raises:
        WeightsError: it is not there, or cannot be had.
    """
    if not _is_on_hub(backbone):
        where = f": they are at {backbone.repository}" if backbone.repository else ""
        raise WeightsError(f"The hub has no weights of timm:{backbone.model}{where}", by_hand(backbone))
    from huggingface_hub import hf_hub_download, logging
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    logging.set_verbosity_error()  # without a network it would tell of each of six attempts, in 23 s
    reason = "it has no file of weights"
    for file in _HUB_FILES:
        try:
            return Path(hf_hub_download(backbone.repository, file))
        except LocalEntryNotFoundError as error:  # no network
            reason = str(error)
            break
        except EntryNotFoundError:  # an older repository
            continue
        except OSError as error:  # of the network, of the disk, or a refusal
            reason = str(error)
            break
    line = (reason.strip() or "no reason given").splitlines()[0].rstrip(".")
    raise WeightsError(
        f"The weights of timm:{backbone.model} could not be downloaded from {backbone.repository}: {line}",
        by_hand(backbone),
    ) from None


def by_hand(backbone: Backbone) -> str:
    """How to give the weights without a network."""
    return f"Put {backbone.model}.safetensors into a folder and give --weights-dir FOLDER"


def promised_hash(backbone: Backbone, path: Path) -> str:
    """The first digits of the SHA-256 that a file's name promises, or nothing.

    In a hub's cache a large file is called by its hash, with links to it. Makers put the first digits into a name.
    """
    blob = path.resolve().name
    return blob if re.fullmatch(r"[0-9a-f]{64}", blob) else backbone.hashes.get(path.name, "")


def _is_on_hub(backbone: Backbone) -> bool:
    return bool(backbone.repository) and "://" not in backbone.repository


def _files(folder: Path, depth: int) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError:  # it may not be read
        return
    for entry in listed:
        path = folder / entry.name
        if entry.is_file():
            yield path
        elif depth and entry.is_dir() and entry.name != "blobs":
            yield from _files(path, depth - 1)


def _place(backbone: Backbone, path: Path) -> tuple[int, ...] | None:
    """How good a file is, the least is the best; None for a file of another network."""
    names = _spellings(backbone)
    if path.name in backbone.hashes:
        rank = 1
    elif path.suffix not in _SUFFIXES:
        return None
    elif (own := _plain(path.name[: -len(path.suffix)])) in names:
        rank = names.index(own)
    else:
        above = [_plain(part) for part in path.parts[:-1]]
        inside = [names.index(part) for part in above if part in names]
        if not inside:
            return None
        rank = min(inside) + (0 if path.name in _HUB_FILES else 2)
    kind = _SUFFIXES.index(path.suffix) if path.suffix in _SUFFIXES else len(_SUFFIXES)
    return rank, not _is_current(path), kind, len(path.parts)


def _spellings(backbone: Backbone) -> list[str]:
    """The names of a network in plain letters: timm's, its repository's and that without a tag."""
    model = backbone.model
    repository = backbone.repository.rpartition("/")[2] if _is_on_hub(backbone) else model
    return [_plain(model), _plain(repository), _plain(model.partition(".")[0])]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.removeprefix("models--timm--").lower())


def _is_current(path: Path) -> bool:
    """Whether a file of a hub's cache is of the version that its branch `main` means; of others it is always so."""
    snapshot = path.parent
    if snapshot.parent.name != "snapshots":
        return True
    try:
        return (snapshot.parents[1] / "refs" / "main").read_text(encoding="utf-8").strip() == snapshot.name
    except OSError:  # a copy without it
        return False
