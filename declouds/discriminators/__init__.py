"""Discriminators: classify clear images as real or restored, (cloudy, image) -> logits."""
