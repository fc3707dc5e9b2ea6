"""Photographs: which there are, where their bytes lie, what their labels say, and how bytes become pixels."""
