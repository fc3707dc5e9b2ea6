"""Fine-tuning: networks trained on the photographs themselves, each of which is then a backbone like any other."""

__all__ = ["ablation", "distillation", "film", "filters", "finetune", "hyperparameters", "lesson"]
