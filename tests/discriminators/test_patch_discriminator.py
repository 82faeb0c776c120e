"""The discriminator of image-to-image translation: how much of an image a patch is."""

import pytest
import torch
from torch import nn

from declouds.discriminators.patch_discriminator import PatchDiscriminator


@pytest.mark.parametrize(("halvings", "width"), [(1, 12), (2, 26), (3, 54)])
def test_a_logit_sees_a_patch_of_known_width(halvings, width):
    torch.manual_seed(0)
    network = PatchDiscriminator(1, base=8, halvings=halvings)
    for index, layer in enumerate(network.layers):
        if isinstance(layer, nn.GroupNorm):  # it sees the whole image, if only its mean and deviation
            network.layers[index] = nn.Identity()
    image = torch.rand(1, 1, 1, 128).requires_grad_()
    image_of_rows = image.expand(1, 1, 16, 128)
    logits = network(torch.zeros_like(image_of_rows), image_of_rows)
    (gradient,) = torch.autograd.grad(logits[..., logits.shape[3] // 2].sum(), image)
    seen = gradient.flatten().nonzero().flatten()
    assert seen.max() - seen.min() + 1 == len(seen) == width
