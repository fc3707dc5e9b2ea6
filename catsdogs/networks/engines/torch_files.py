"""Reads PyTorch's weights files, of which nothing but tensors is taken, and nothing runs."""

import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file
from timm.models import clean_state_dict

from catsdogs.errors import WeightsError
from catsdogs.files import storage

# Under which training programs keep the tensors: timm/models/_helpers.py, load_state_dict.
_NESTED = ("state_dict_ema", "model_ema", "state_dict", "model")
_REASON_LENGTH = 200  # characters, part of which a hostile file may have written
_REMEDY = "Download it again, as .safetensors if there is one"
_PROMISE = re.compile(r"-([0-9a-f]{8,64})\.[a-z.]+")  # as torch.hub names files


def read(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a `.safetensors` file, or of one that `torch.save` wrote in either format, by their names.

    Raises:
        WeightsError: it is cut short or no such file, or holds anything but tensors.
    """
    try:
        content = load_file(path) if path.suffix == ".safetensors" else _load(path)
    except OSError as error:
        raise storage.read_error(path, error, WeightsError) from None
    except safetensors.SafetensorError as error:
        raise WeightsError(f"{path} is no usable .safetensors file: {_short(error)}", _REMEDY) from None
    if isinstance(content, dict):
        content = next((content[name] for name in _NESTED if isinstance(content.get(name), dict)), content)
    is_flat = isinstance(content, dict) and all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in content.items()
    )
    if not is_flat or not content:
        raise WeightsError(f"{path} holds other things than tensors by their names", "Use a file of weights alone")
    if any(tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta for tensor in content.values()):
        raise WeightsError(f"{path} holds tensors that are sparse, quantised or empty", "Use plain weights")
    tensors: dict[str, torch.Tensor] = clean_state_dict(content)
    return tensors


def promised(address: str | None) -> dict[str, str]:
    """The file name of an address, and the first digits of the SHA-256 that it promises, or nothing."""
    name = (address or "").rpartition("/")[2]
    found = _PROMISE.search(name)
    return {name: found[1] if found else ""} if name else {}


def misfit(error: Exception) -> str:
    """What tensors that do not fit are wrong in: the first of the things that PyTorch lists, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[1] if len(lines) > 1 else lines[0] if lines else type(error).__name__
    return reason[:_REASON_LENGTH].rstrip(" .")


def _load(path: Path) -> Any:
    if zipfile.is_zipfile(path):
        _refuse_bomb(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # a damaged pickle raises nearly anything; whatever it is, the file cannot be used
        raise WeightsError(f"{path} is no usable file of tensors: {_short(error)}", _REMEDY) from None


def _refuse_bomb(path: Path) -> None:
    """PyTorch stores its tensors as they are. A file that is packed may ask for far more memory than it takes."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise WeightsError(f"{path} is no usable file of tensors: {_short(error)}", _REMEDY) from None
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries) or (
        sum(entry.file_size for entry in entries) > path.stat().st_size
    ):
        raise WeightsError(f"{path} is no usable file of tensors: it is packed", _REMEDY)


def _short(error: Exception) -> str:
    """The first sentence of what went wrong, without PyTorch's advice on how to run what the file asks for."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    plain = [line for line in lines if "weights_only" not in line and "torch.load" not in line]
    reason = plain[0] if plain else "it asks for more than tensors" if lines else type(error).__name__
    return re.split(r"\.\s", reason)[0][:_REASON_LENGTH].rstrip(".")
