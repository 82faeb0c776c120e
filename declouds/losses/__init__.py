"""Losses: (output, target) -> scalar."""
