"""A run: a head that was trained and all that is kept of it, taken up again to answer for other photographs."""

__all__ = [
    "answers",
    "blend_card",
    "blended_heads",
    "blending",
    "ensemble",
    "explaining",
    "exporting",
    "out_of_fold",
    "overlay",
    "prediction",
    "run_card",
    "scores",
    "tracking",
    "training",
]
