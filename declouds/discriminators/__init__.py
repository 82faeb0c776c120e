"""Discriminators: networks that tell real clear images from restored ones, (cloudy, image) -> logits."""

from declouds.discriminators.patch_discriminator import PatchDiscriminator

__all__ = ["PatchDiscriminator"]
