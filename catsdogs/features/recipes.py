"""Recipes: what the numbers of a feature file depend on, besides its photographs."""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, Self

from catsdogs.networks.table import POOLED, Backbone
from catsdogs.photographs.fitting import SQUASH

MADE_ELSEWHERE = "made elsewhere"  # the engine of vectors that no network of this program computed


@dataclass(frozen=True)
class Recipe:
    """All that a row's numbers depend on besides the photograph. Files of different recipes are never mixed.

    `weights` is the SHA-256 of the weights file, or `random`; `input_size` is in pixels; `vector` is `Backbone`'s;
    `resize` is how the photograph is fitted into the square, with the share that `crop` keeps, and `views` `Fit`'s.
    Of vectors made elsewhere `weights` is the SHA-256 of the file they came in, and `precision` what its numbers are.
    """

    backbone: str
    weights: str
    input_size: int
    resize_filter: str
    preprocessing: str
    engine: str
    precision: str
    dtype: str
    # Files written before there was a choice do not have these fields.
    vector: str = POOLED
    resize: str = SQUASH
    views: str = ""

    @classmethod
    def read(cls, attributes: Mapping[str, Any]) -> Self:
        """The recipe in the attributes of a file, which may lack the newer fields; raises KeyError for another."""
        names = [one.name for one in fields(cls) if one.name not in DEFAULTS or one.name in attributes]
        written = DEFAULTS | {name: attributes[name] for name in names}
        return cls(**{name: value.item() if hasattr(value, "item") else value for name, value in written.items()})

    @property
    def is_made_elsewhere(self) -> bool:
        """Whether the vectors came in a file of another program, so that no network here makes more of them."""
        return self.engine == MADE_ELSEWHERE

    def as_dict(self) -> dict[str, Any]:
        """Its fields, without those that older programs do not know where they say nothing."""
        return {name: value for name, value in asdict(self).items() if _NEWEST.get(name) != value}

    def differences(self, other: "Recipe") -> list[str]:
        """Each field in which the two differ, as `name: this, not that`."""
        both = [(name, value, getattr(other, name)) for name, value in asdict(self).items()]
        return [f"{name}: {_brief(a)}, not {_brief(b)}" for name, a, b in both if a != b]


DEFAULTS = {one.name: one.default for one in fields(Recipe) if one.default is not MISSING}
_NEWEST = {name: DEFAULTS[name] for name in ("resize", "views")}


def of_network(backbone: Backbone, weights: str, engine: str, precision: str, dtype: str) -> Recipe:
    """The recipe of a network's vectors, by the SHA-256 of its weights and how they are computed and stored."""
    fit = backbone.fit
    return Recipe(
        backbone=backbone.name,
        weights=weights,
        input_size=backbone.input_size,
        resize_filter=fit.resize_filter,
        preprocessing=backbone.preprocessing,
        engine=engine,
        precision=precision,
        dtype=dtype,
        vector=backbone.vector,
        resize=fit.resize if fit.share == 1 else f"{fit.resize} {fit.share:g}",
        views=fit.views,
    )


def _brief(value: object) -> str:
    text = str(value)
    return f"{text[:12]}…" if len(text) == 64 else text
