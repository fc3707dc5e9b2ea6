"""How an upright picture is to become the square, or the several squares, that a network sees."""

import importlib.util
import math
from typing import NamedTuple

# cykooz.resizer has no wheel for Linux on Arm. Pillow has the same filters and rounds between its two passes: on 80
# photographs pixels differ by 0.13 grey levels on average and 9 at most. So rows of the two are not mixed.
HAS_COMPILED_RESIZER = importlib.util.find_spec("cykooz_resizer") is not None
SQUASH, CROP, PAD = "squash", "crop", "pad"
RESIZES = (SQUASH, CROP, PAD)
FLIP, CROPS5 = "flip", "crops5"
VIEWS = {"": 1, FLIP: 2, CROPS5: 5}  # each with how many squares it makes of a photograph
_CROPS5_SHARE = 0.875  # the side of each of five crops, as a share of the side of the square they are cut from
# By the names of Pillow and of cykooz.resizer. Bicubic has a = -1/2. All are wider than the step where they shrink.
FILTERS = {"bicubic": "catmull-rom", "bilinear": "bilinear", "lanczos": "lanczos3"}
INTERPOLATIONS = tuple(FILTERS)
Colour = tuple[int, int, int]


class Fit(NamedTuple):
    """How a picture is fitted into a square.

    Attributes:
        size: side of the square, in pixels.
        resize: `squash` changes the ratio of the sides; `crop` cuts off what exceeds the shorter side; `pad` adds
            borders to the shorter one.
        share: of the side of the resized picture what the square keeps, around the centre; 1.0 keeps all.
        interpolation: one of `INTERPOLATIONS`.
        fill: the colour of borders, RGB in 0..255.
        views: empty for the square itself; `flip` adds its mirror image; `crops5` makes five of it, the centre first,
            then the corners, each with `_CROPS5_SHARE` of the sides of a larger square.
    """

    size: int
    resize: str = SQUASH
    share: float = 1.0
    interpolation: str = "bicubic"
    fill: Colour = (0, 0, 0)
    views: str = ""

    @property
    def view_count(self) -> int:
        """How many squares it makes of a picture."""
        return VIEWS[self.views]

    @property
    def resize_filter(self) -> str:
        """The filter and what computes it: two of different names give different pixels."""
        name = FILTERS[self.interpolation]
        return name if HAS_COMPILED_RESIZER else f"{name} of Pillow"

    @property
    def enlarged(self) -> int:
        """The side to which a picture is resized before it is cut to the square or to its views."""
        return math.floor(self.whole / self.share)

    @property
    def whole(self) -> int:
        """The side of the square that views are cut from."""
        return round(self.size / _CROPS5_SHARE) if self.views == CROPS5 else self.size
