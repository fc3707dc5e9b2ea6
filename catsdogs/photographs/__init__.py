"""Photographs: which there are, where their bytes lie, what their labels are, and how bytes become pixels."""
