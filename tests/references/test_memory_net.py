"""MemoryNet: what its memory recalls, and which stage sees what of it."""

import math

import pytest
import torch

from declouds.errors import UserError
from declouds.references.memory_net import SHRINK, MemoryNet, PrototypeMemory, recall
from declouds.references.mpr_net import MPRNet
from declouds.registry import REFERENCES

SMALL = dict(features=8, level_step=4, full_step=4, full_blocks=1)


def images(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


def small(bands=3, **arguments):
    torch.manual_seed(0)
    return MemoryNet(bands, **SMALL, **arguments).eval()


def memory(bands=3, classes=4, prototypes=2, parts=5):
    torch.manual_seed(0)
    module = PrototypeMemory(bands, classes, prototypes, parts)
    torch.nn.init.uniform_(module.items, 0, 4)
    return module


@pytest.mark.parametrize("bands", [1, 4, 13])
@pytest.mark.parametrize("size", [(24, 16), (37, 50), (1, 9)])
def test_any_bands_and_size(bands, size):
    cloudy = images(2, bands, *size)
    network = small(bands)
    with torch.no_grad():
        prior, (last, *others) = network(cloudy), network.training_outputs(cloudy, cloudy)["restorations"]
    assert torch.equal(prior, last.clamp(-1, 1))
    assert [image.shape for image in (last, *others)] == [cloudy.shape] * 3


def test_the_default_is_mpr_net_and_a_memory_of_336():
    with torch.device("meta"):
        count = {kind: sum(p.numel() for p in kind().parameters()) for kind in (MPRNet, MemoryNet)}
    assert count[MemoryNet] == count[MPRNet] + 10 * 2 * 5 * 3 + (5 * 5 + 5) + (2 * 2 + 2) == 3_637_639


def test_recall_leaves_out_what_weighs_little():
    items = torch.tensor([1000.0, 1.0, 999.0]).log()[:, None]  # the weights are 0.5, 0.0005 and 0.4995
    expected = (0.5 * math.log(1000) + 0.4995 * math.log(999)) / 0.9995
    assert float(recall(torch.ones(1, 1), items)) == pytest.approx(expected, rel=1e-6)
    torch.testing.assert_close(recall(torch.zeros(1, 1), items), items.mean(0, keepdim=True))
    assert SHRINK == 0.0025


def test_what_is_recalled_lies_between_the_items():
    module, image = memory(), images(2, 3, 6, 7)
    with torch.no_grad():
        parts, prototypes, classes = module(image)
        least, greatest = (getattr(module.items, name)(0).values[:, None, None] for name in ("min", "max"))
    assert ((parts > least - 1e-5) & (parts < greatest + 1e-5)).all()
    # Gates are less than 1, and items here not negative: means of gated parts are smaller, and of those again.
    assert 0 < float(classes.min()) and float(classes.max()) < float(prototypes.max()) < float(greatest.max())
    for output in (parts, prototypes, classes):
        assert output.shape == image.shape
        assert output.flatten(2).std(2).min() > 1e-6  # and not the same for every pixel


def test_a_memory_of_one_item_recalls_it_gated():
    module, image = memory(classes=1, prototypes=1, parts=1), images(1, 3, 2, 2)
    with torch.no_grad():
        (item,) = module.items
        prototype = torch.sigmoid(module.part_gate.weight.item() * item + module.part_gate.bias) * item
        of_class = (
            torch.sigmoid(module.prototype_gate.weight.item() * prototype + module.prototype_gate.bias) * prototype
        )
        for output, expected in zip(module(image), (item, prototype, of_class), strict=True):
            torch.testing.assert_close(output, expected[None, :, None, None].expand_as(image))


def test_every_pixel_recalls_for_itself():
    module, image = memory(), images(1, 3, 4, 6)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(2))
    shuffled = image.flatten(2)[..., order].unflatten(2, (4, 6))
    for straight, mixed in zip(module(image), module(shuffled), strict=True):
        torch.testing.assert_close(straight.flatten(2)[..., order], mixed.flatten(2))


def test_the_order_of_the_classes_is_of_no_account():
    module, image = memory(), images(1, 3, 4, 6)
    before = module(image)
    items = module.items.data.clone()
    module.items.data = items.unflatten(0, (4, 10))[[2, 0, 3, 1]].flatten(0, 1)
    for straight, mixed in zip(before, module(image), strict=True):
        torch.testing.assert_close(straight, mixed)
    module.items.data = items[torch.arange(40).roll(1)]  # but which parts make a prototype is
    assert (module(image)[1] - before[1]).abs().max() > 1e-3


def test_without_its_memory_it_is_mpr_net():
    network, plain = small(), MPRNet(**SMALL).eval()
    plain.load_state_dict({key: value for key, value in network.state_dict().items() if not key.startswith("memory.")})
    network.memory.forward = lambda image: (image, image, image)
    cloudy = images(2, 3, 21, 34)
    with torch.no_grad():
        ours, theirs = (net.training_outputs(cloudy, cloudy)["restorations"] for net in (network, plain))
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


def test_which_stage_sees_what():
    network, cloudy = small(), images(1, 3, 16, 24)
    parts, prototypes, classes = (images(1, 3, 16, 24) * scale for scale in (0.1, 0.2, 0.3))
    network.memory.forward = lambda image: (parts, prototypes, classes)
    seen = []
    for shallow in network.shallow:
        shallow.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    for residual in (network.tail, *(supervision.residual for supervision in network.supervisions)):
        torch.nn.init.zeros_(residual.weight)  # so that each stage gives back the image that it adds to
    restored = network.training_outputs(cloudy, cloudy)["restorations"]
    for output, expected in zip(restored, (classes, classes, prototypes), strict=True):
        torch.testing.assert_close(output, 2 * expected - 1)
    assert torch.equal(seen[0][:1], parts[..., :8, :12])
    assert torch.equal(seen[1][:1], prototypes[..., :8, :])
    assert torch.equal(seen[2], classes)


def test_the_image_comes_in_by_the_memory_alone():
    network = small()
    torch.nn.init.constant_(network.memory.items, 0.3)  # whatever it is asked, it recalls the same
    first, second = images(1, 3, 16, 16), -images(1, 3, 16, 16)
    torch.testing.assert_close(network(first), network(second), rtol=0, atol=1e-5)
    assert not torch.allclose(small()(first), small()(second), rtol=0, atol=1e-5)


def test_gradients_reach_every_parameter_of_the_memory():
    network, cloudy = small(), images(2, 3, 16, 24)
    sum(image.square().mean() for image in network.training_outputs(cloudy, cloudy)["restorations"]).backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key
        if ".attention." not in key:  # its two hidden units may be switched off by their ReLU
            assert parameter.grad.abs().sum() > 0, key
    assert (network.memory.items.grad.abs().sum(1) > 0).all()  # no item is left out at the start


def test_each_stage_trains_its_own_granularity():
    network, cloudy = small(), images(1, 3, 16, 16)
    _, _, first = network.training_outputs(cloudy, cloudy)["restorations"]
    first.square().mean().backward()
    assert network.memory.part_gate.weight.grad.abs().sum() > 0
    assert network.memory.prototype_gate.weight.grad is None or not network.memory.prototype_gate.weight.grad.any()


def test_the_memory_stays_in_float32_under_autocast():
    network, cloudy = small(), images(1, 3, 16, 16)
    with torch.no_grad():
        exact = network.stage_images(cloudy)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = network.stage_images(cloudy)
            prior = network(cloudy)
    assert all(torch.equal(one, other) for one, other in zip(exact, rough, strict=True))
    assert (prior.float() - network(cloudy)).abs().max() < 0.1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (dict(classes=40), "1 to 399 parts; classes=40 x prototypes=2 x parts=5 is 400"),
        (dict(parts=0), "1 to 399 parts; .* is 0"),
        (dict(features=3), "more features"),
    ],
)
def test_impossible_sizes_are_user_errors(arguments, says):
    with pytest.raises(UserError, match=says):
        REFERENCES.build(dict(type="MemoryNet", **arguments))
