"""The table of families: every network stands in it, and the ratio is to the faster of timm's two loops."""

from benchmarks import families
from tests.conftest import need


def test_the_table() -> None:
    need("timm")
    rates = {}
    for number, network in enumerate(families.FAMILIES.values(), start=1):
        rates |= {(network, way): [10.0 * number, 12.0 * number] for way in families.ENGINES}
        rates |= {(network, "eager"): [5.0 * number], (network, "compiled"): [4.0 * number]}
    text = families.render(rates, 96, 2)
    lines = [line for line in text.splitlines() if line.startswith("| ")][2:]
    assert len(lines) == len(families.FAMILIES) and all(line.endswith("| 2.20 |") for line in lines)
    assert "| ViT | `timm:vit_small_patch16_224.augreg_in21k_ft_in1k` | cls, mean, cls+mean, last4 | 9.2" in lines[0]
    assert "10.0 and 12.0" in lines[0] and "measured 2 times in turn" in text
