"""A convolutional Keras network as a PyTorch module with the same weights.

Ready-made ones (timm, torchvision) need a torchvision that fits, which not every machine can install; these also
compute the very same vectors, which a test checks.

Between `describe`, which needs Keras, and `Network`, which does not, stands a file, so that a process that measures
PyTorch pays for PyTorch alone.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.contenders import PREPROCESSING

_CONVOLUTIONS = ("Conv2D", "DepthwiseConv2D", "SeparableConv2D")
_POOLINGS = ("MaxPooling2D", "AveragePooling2D")


@dataclass(frozen=True)
class Step:
    """A layer: what it is, where its inputs come from, its settings; its arrays are named after it."""

    name: str
    kind: str
    inputs: list[str]
    settings: dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """A network in the order of computation; the last step's output is the feature map."""

    preprocessing: str
    steps: list[Step]
    arrays: dict[str, NDArray[np.float32]]

    def save(self, path: Path) -> None:
        """Write an .npz file."""
        text = json.dumps({"preprocessing": self.preprocessing, "steps": [asdict(step) for step in self.steps]})
        np.savez(path, plan=np.array(text), **self.arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> "Plan":
        """Read what `save` wrote."""
        with np.load(path) as file:
            plan = json.loads(str(file["plan"]))
            arrays = {name: file[name] for name in file.files if name != "plan"}
        return cls(plan["preprocessing"], [Step(**step) for step in plan["steps"]], arrays)


def describe(model: Any, preprocessing: str) -> Plan:
    """The plan of a functional Keras model from preprocessed picture to feature map.

    Batch normalisation is folded into the convolution before it, as anyone serious about inference does.

    Raises:
        NotImplementedError: a layer that is not ported.
    """
    steps: list[Step] = []
    arrays: dict[str, NDArray[np.float32]] = {}
    renamed: dict[str, str] = {}
    layers = json.loads(model.to_json())["config"]["layers"]
    sources = [source for entry in layers for source, _ in _sources(entry["inbound_nodes"])]
    for entry in layers:
        name, kind, config = entry["name"], entry["class_name"], entry["config"]
        found = list(_sources(entry["inbound_nodes"]))
        inputs = [renamed.get(source, source) for source, _ in found]
        layer = model.get_layer(name)
        if kind in ("InputLayer", "Dropout"):
            renamed[name] = inputs[0] if inputs else "image"
        elif kind == "BatchNormalization":
            scale, shift = _affine(layer)
            before = next((step for step in steps if step.name == inputs[0] and step.kind in _CONVOLUTIONS), None)
            if before and before.settings["activation"] == "linear" and sources.count(found[0][0]) == 1:
                last = "pointwise" if before.kind == "SeparableConv2D" else "kernel"
                kernel = arrays[f"{before.name}/{last}"]  # (out, in, row, column)
                arrays[f"{before.name}/{last}"] = kernel * scale[:, None, None, None]
                arrays[f"{before.name}/bias"] = arrays[f"{before.name}/bias"] * scale + shift
                renamed[name] = before.name
            else:
                steps.append(Step(name, "Affine", inputs, {}))
                arrays |= {f"{name}/scale": scale, f"{name}/shift": shift}
        else:
            settings, of_layer = _settings(kind, config, layer, found[0][1])
            steps.append(Step(name, kind, inputs, settings))
            arrays |= {f"{name}/{key}": np.ascontiguousarray(value, np.float32) for key, value in of_layer.items()}
    return Plan(preprocessing, steps, arrays)


def _sources(nodes: Any) -> Iterator[tuple[str, list[int]]]:
    """The layers from which a layer of a serialised model takes its inputs, and the shapes of these."""
    if isinstance(nodes, dict) and nodes.get("class_name") == "__keras_tensor__":
        yield nodes["config"]["keras_history"][0], nodes["config"]["shape"]
    elif isinstance(nodes, dict | list):
        for part in nodes.values() if isinstance(nodes, dict) else nodes:
            yield from _sources(part)


def _affine(layer: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Batch normalisation in inference: x · scale + shift."""
    mean, variance, gamma, beta = (
        neutral if variable is None else variable.numpy()
        for variable, neutral in (
            (layer.moving_mean, 0.0),
            (layer.moving_variance, 1.0),
            (layer.gamma, 1.0),
            (layer.beta, 0.0),
        )
    )
    scale = gamma / np.sqrt(variance + layer.epsilon)
    return scale.astype(np.float32), (beta - mean * scale).astype(np.float32)


def _settings(
    kind: str, config: dict[str, Any], layer: Any, shape: list[int]
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """What a step needs of a layer's configuration, and its arrays in PyTorch's order."""
    if kind in _CONVOLUTIONS:
        plain = {"groups": (1, None), "depth_multiplier": (1, None), "dilation_rate": (1, [1, 1], (1, 1))}
        if any(config.get(key, values[0]) not in values for key, values in plain.items()):
            raise NotImplementedError(f"{layer.name}: dilated, grouped or with a depth multiplier")
        strides = config["strides"]
        settings = {
            "strides": strides,
            "pad": _padding(config["padding"], shape, layer.kernel_size, strides),
            "activation": config["activation"],
        }
        if kind == "SeparableConv2D":
            depthwise, pointwise = (np.array(kernel) for kernel in layer.get_weights()[:2])
            arrays = {"kernel": _depthwise(depthwise), "pointwise": pointwise.transpose(3, 2, 0, 1)}
        else:
            kernel = np.array(layer.get_weights()[0])
            arrays = {"kernel": kernel.transpose(3, 2, 0, 1) if kind == "Conv2D" else _depthwise(kernel)}
        filters = len(arrays.get("pointwise", arrays["kernel"]))
        arrays["bias"] = layer.get_weights()[-1] if config["use_bias"] else np.zeros(filters)
        return settings, arrays
    if kind in _POOLINGS:
        pad = _padding(config["padding"], shape, config["pool_size"], config["strides"])
        return {"size": config["pool_size"], "strides": config["strides"], "pad": pad}, {}
    if kind == "ZeroPadding2D":
        (top, bottom), (left, right) = config["padding"]
        return {"pad": [left, right, top, bottom]}, {}
    if kind == "Activation":
        return {"activation": config["activation"]}, {}
    if kind == "ReLU" and not config["negative_slope"] and not config["threshold"]:
        return {"activation": {None: "relu", 6.0: "relu6"}[config["max_value"]]}, {}
    if kind in ("Add", "Concatenate"):
        return {}, {}
    raise NotImplementedError(f"{layer.name}: no port of {kind}")


def _depthwise(kernel: NDArray[Any]) -> NDArray[Any]:
    """(row, column, channel, 1) -> (channel, 1, row, column)."""
    return kernel.transpose(2, 3, 0, 1)


def _padding(padding: str, shape: list[int], size: list[int], strides: list[int]) -> list[int]:
    """Left, right, top, bottom of TensorFlow's `same` padding, of which the odd pixel goes to the end."""
    if padding == "valid":
        return [0, 0, 0, 0]
    pad = []
    for length, window, stride in zip(shape[2:0:-1], size[::-1], strides[::-1], strict=True):
        total = max((-(-length // stride) - 1) * stride + window - length, 0)
        pad += [total // 2, total - total // 2]
    return pad


class Network(nn.Module):
    """uint8 RGB (n, size, size, 3) -> pooled vectors (n, width)."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self._reversed, mean, self._divisor = PREPROCESSING[plan.preprocessing]
        self.register_buffer("_mean", torch.tensor(mean).reshape(1, 3, 1, 1))
        self._steps = plan.steps
        self._modules_of_steps = nn.ModuleList(_module(step, plan.arrays) for step in plan.steps)
        last_use = {source: number for number, step in enumerate(plan.steps) for source in step.inputs}
        self._dead = [[name for name, last in last_use.items() if last == number] for number in range(len(plan.steps))]
        self.to(memory_format=torch.channels_last)
        self.eval()

    def forward(self, pixels: Tensor) -> Tensor:
        image = pixels.permute(0, 3, 1, 2).to(torch.float32)  # in memory this is channels_last already
        if self._reversed:
            image = image.flip(1)
        values = {"image": ((image - self._mean) / self._divisor).contiguous(memory_format=torch.channels_last)}
        for step, module, dead in zip(self._steps, self._modules_of_steps, self._dead, strict=True):
            values[step.name] = module(*(values[source] for source in step.inputs))
            for name in dead:
                del values[name]
        return values[self._steps[-1].name].float().mean((2, 3))


class _Add(nn.Module):
    def forward(self, first: Tensor, *others: Tensor) -> Tensor:
        for other in others:
            first = first + other
        return first


class _Concatenate(nn.Module):
    def forward(self, *parts: Tensor) -> Tensor:
        return torch.cat(parts, 1)


def _activation(name: str) -> nn.Module:
    return {"linear": nn.Identity, "relu": nn.ReLU, "relu6": nn.ReLU6}[name]()


def _convolution(kernel: NDArray[Any], bias: NDArray[Any] | None, depthwise: bool, **settings: Any) -> nn.Conv2d:
    """A convolution with these arrays; a depthwise kernel has one input channel for each group of its outputs."""
    filters, inputs, *window = kernel.shape
    groups = filters if depthwise else 1
    layer = nn.Conv2d(inputs * groups, filters, tuple(window), groups=groups, bias=bias is not None, **settings)
    layer.weight = nn.Parameter(torch.from_numpy(kernel))
    if bias is not None:
        layer.bias = nn.Parameter(torch.from_numpy(bias))
    return layer


def _module(step: Step, arrays: dict[str, NDArray[Any]]) -> nn.Module:
    """What computes a step; padding that is the same on both sides is left to the convolution or pooling."""
    own = {name.rpartition("/")[2]: array for name, array in arrays.items() if name.rpartition("/")[0] == step.name}
    settings = step.settings
    if step.kind in ("Add", "Concatenate"):
        return _Add() if step.kind == "Add" else _Concatenate()
    if step.kind in ("Activation", "ReLU"):
        return _activation(settings["activation"])
    if step.kind == "ZeroPadding2D":
        return nn.ZeroPad2d(settings["pad"])
    if step.kind == "Affine":
        return _convolution(own["scale"][:, None, None, None], own["shift"], depthwise=True)
    left, right, top, bottom = settings["pad"]
    symmetric = left == right and top == bottom
    padding = (top, left) if symmetric else (0, 0)
    if step.kind in _POOLINGS:
        size, strides = tuple(settings["size"]), tuple(settings["strides"])
        if step.kind == "MaxPooling2D":
            pool: nn.Module = nn.MaxPool2d(size, strides, padding)
            return pool if symmetric else nn.Sequential(nn.ConstantPad2d(settings["pad"], float("-inf")), pool)
        if not symmetric:
            raise NotImplementedError(f"{step.name}: an average over padding of two widths")
        return nn.AvgPool2d(size, strides, padding, count_include_pad=False)
    modules: list[nn.Module] = [] if symmetric else [nn.ZeroPad2d(settings["pad"])]
    how = {"stride": tuple(settings["strides"]), "padding": padding}
    if step.kind == "SeparableConv2D":
        modules.append(_convolution(own["kernel"], None, depthwise=True, **how))
        modules.append(_convolution(own["pointwise"], own["bias"], depthwise=False))
    else:
        modules.append(_convolution(own["kernel"], own["bias"], step.kind == "DepthwiseConv2D", **how))
    return nn.Sequential(*modules, _activation(settings["activation"]))
