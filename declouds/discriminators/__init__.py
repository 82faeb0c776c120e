"""Discriminators: networks that tell real clear images from restored ones, (cloudy, image) -> logits."""
