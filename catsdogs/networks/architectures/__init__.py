"""Architectures that are built here layer by layer: small ones to train from scratch, and the EfficientNet-Lites."""
