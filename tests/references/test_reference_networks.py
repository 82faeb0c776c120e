"""The reference networks: any size, any number of bands, gradients everywhere, nothing outside [-1, 1]."""

import pytest
import torch

from declouds.errors import UserError
from declouds.references.identity import Identity
from declouds.references.mpr_net import MPRNet
from declouds.references.msda import MSDA
from declouds.registry import REFERENCES

SMALL = {
    "MPRNet": dict(features=8, level_step=4, full_step=4, full_blocks=1),
    "MSDA": dict(features=8, columns=4, layers=2, growth=4),
}


def small(name, bands=3):
    torch.manual_seed(0)
    return REFERENCES.build(dict(type=name, bands=bands, **SMALL[name]))


def images(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("bands", [1, 4, 13])
def test_any_number_of_bands(name, bands):
    cloudy = images(2, bands, 24, 16)
    prior = small(name, bands)(cloudy)
    assert prior.shape == cloudy.shape
    assert prior.dtype == torch.float32
    assert prior.abs().max() <= 1
    assert prior.std() > 1e-3


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("size", [(37, 50), (64, 96), (5, 7), (1, 9), (1, 1), (3, 4)])
def test_any_size(name, size):
    prior = small(name).eval()(images(1, 3, *size))
    assert prior.shape == (1, 3, *size)
    assert prior.isfinite().all()


@pytest.mark.parametrize("name", SMALL)
def test_an_image_does_not_depend_on_the_others_of_its_batch(name):
    network = small(name).eval()
    cloudy = images(3, 3, 21, 34)
    with torch.no_grad():
        together = network(cloudy)
        alone = torch.cat([network(image[None]) for image in cloudy])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", SMALL)
def test_every_parameter_gets_a_finite_gradient(name):
    network = small(name)
    cloudy = images(2, 3, 37, 50)
    outputs = network.training_outputs(cloudy, cloudy)["restorations"] if name == "MPRNet" else [network(cloudy)]
    sum(output.square().mean() for output in outputs).backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        if ".attention." not in key:  # its two hidden units may be switched off by their ReLU
            assert parameter.grad.abs().sum() > 0, key


@pytest.mark.parametrize("name", SMALL)
def test_bfloat16_stays_near_float32(name):
    network = small(name).eval()
    cloudy = images(1, 3, 32, 32)
    with torch.no_grad():
        exact = network(cloudy)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = network(cloudy)
    assert rough.dtype == torch.float32
    assert (rough - exact).abs().max() < 0.1


def test_restorations_are_those_of_stages_3_2_1_and_not_clamped():
    network = small("MPRNet")
    torch.nn.init.constant_(network.tail.weight, 0.0)
    torch.nn.init.constant_(network.supervisions[1].residual.weight, 0.0)
    torch.nn.init.constant_(network.supervisions[0].residual.weight, 50.0)
    cloudy = images(1, 3, 37, 50)
    stage3, stage2, stage1 = network.training_outputs(cloudy, cloudy)["restorations"]
    torch.testing.assert_close(stage3, cloudy)  # without its last convolution a stage restores nothing
    torch.testing.assert_close(stage2, cloudy)
    assert stage1.shape == cloudy.shape
    assert stage1.abs().max() > 1
    torch.testing.assert_close(network(cloudy), cloudy)


def test_a_quarter_restores_its_own_part_in_stage_1():
    # Stage 1 must see quarters: a change in the upper left one leaves the lower right one as it was. Its own upper half
    # shares a decoder, so only the lower half is compared.
    network = small("MPRNet").eval()
    cloudy = images(1, 3, 32, 32)
    changed = cloudy.clone()
    changed[..., :16, :16] *= -1
    with torch.no_grad():
        before, after = (network.training_outputs(image, image)["restorations"] for image in (cloudy, changed))
    assert torch.equal(before[2][..., 16:, :], after[2][..., 16:, :])
    assert not torch.equal(before[2][..., :16, :], after[2][..., :16, :])
    assert not torch.equal(before[1][..., 16:, :], after[1][..., 16:, :])  # stage 2 sees the whole image in its decoder


def test_full_size_networks_have_the_known_number_of_parameters():
    with torch.device("meta"):
        count = {kind.__name__: sum(p.numel() for p in kind().parameters()) for kind in (MPRNet, MSDA)}
    # 3.637 M; 3.908 M less the 1.004 M that the official output does not depend on.
    assert count == {"MPRNet": 3_637_303, "MSDA": 3_907_714 - 1_004_249}


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (dict(type="MSDA", columns=5), "columns must be even"),
        (dict(type="MSDA", columns=2), "at least 4"),
        (dict(type="MSDA", features=3), "more features"),
        (dict(type="MPRNet", features=3), "more features"),
    ],
)
def test_impossible_sizes_are_user_errors(config, says):
    with pytest.raises(UserError, match=says):
        REFERENCES.build(config)


@pytest.mark.parametrize("name", ["CVAE", "GainOffsetUNet", "Identity", "NAFNet", "TimmUNet"])
@pytest.mark.parametrize("in_bands", [0, 1, 2])
def test_fewer_bands_in_than_out_are_a_user_error(name, in_bands):
    with pytest.raises(UserError, match=f"^{name}: in_bands must be at least bands = 3, got {in_bands}"):
        REFERENCES.build(dict(type=name, bands=3, in_bands=in_bands))


def test_identity_gives_the_cloudy_image():
    cloudy = images(2, 13, 5, 7)
    network = REFERENCES.build(dict(type="Identity"), bands=13)
    assert isinstance(network, Identity)
    assert torch.equal(network(cloudy), cloudy)
    assert not network.state_dict()
