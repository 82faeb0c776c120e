"""The time-conditioned U-Net: attention by its equation, and less memory in training."""

import pytest
import torch

from declouds.errors import UserError
from declouds.layers.unet import SelfAttention, UNet, recompute_activations


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_attention_is_that_of_the_equation(layout):
    """softmax(q k / sqrt(d)) v, head by head, with the channels of q, k and v next to each other in each head."""
    torch.manual_seed(0)
    attention = SelfAttention(32, heads=4)
    torch.nn.init.normal_(attention.proj_out.weight, std=0.1)
    x = torch.randn(2, 32, 5, 7).contiguous(memory_format=layout)
    tokens = attention.norm(x).reshape(2, 32, 35)
    heads = []
    for channels in attention.qkv(tokens).split(24, dim=1):
        query, key, value = channels.split(8, dim=1)  # each (2, 8, 35)
        weights = torch.softmax(query.transpose(1, 2) @ key / 8**0.5, dim=-1)
        heads.append(value @ weights.transpose(1, 2))
    expected = x + attention.proj_out(torch.cat(heads, 1)).reshape(2, 32, 5, 7)
    torch.testing.assert_close(attention(x), expected, rtol=1e-5, atol=1e-5)


def test_channels_that_do_not_divide_into_heads():
    with pytest.raises(UserError, match="30 channels cannot be split into 4 attention heads"):
        SelfAttention(30, heads=4)


def gradients(network, saved):
    def pack(tensor):
        saved.append(tensor.numel())
        return tensor

    generator = torch.Generator().manual_seed(1)
    x, t = torch.randn(2, 6, 24, 24, generator=generator), torch.tensor([3, 700])
    torch.manual_seed(2)  # of the dropout
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = network(x, t).square().mean()
    loss.backward()
    return [parameter.grad.clone() for parameter in network.parameters()]


def test_recomputed_activations_give_the_same_gradients_and_are_not_kept():
    torch.manual_seed(0)
    size = dict(base=16, multipliers=(1, 2), blocks=2, attention_at=(2,), heads=2, scale_shift=True, dropout=0.2)
    network = UNet(6, 3, **size)
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    kept, recomputed = [], []
    expected = gradients(network, kept)
    network.zero_grad()
    recompute_activations(network)
    for ours, theirs in zip(gradients(network, recomputed), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)
    assert sum(recomputed) < sum(kept) / 4
