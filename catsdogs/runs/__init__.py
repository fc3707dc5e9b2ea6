"""A run: a head that was trained and all that is kept of it, taken up again to answer for other photographs."""

__all__ = ["answers", "blended_heads", "blending", "ensemble", "out_of_fold", "prediction", "run_card", "training"]
