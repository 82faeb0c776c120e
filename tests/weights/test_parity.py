"""The imported official networks give the official outputs."""

import json

import numpy as np
import pytest
import torch

import declouds
from declouds.cli import main


def golden(shared, name):
    folder = shared / "goldens"
    return json.loads((folder / f"{name}.json").read_text()), dict(np.load(folder / f"{name}.npz"))


def write_official(fill, keys, path):
    torch.save({key: torch.from_numpy(fill.fill(key, tuple(shape))) for key, shape in keys}, path)
    return str(path)


@pytest.fixture(scope="module")
def imported(shared, fill, tmp_path_factory):
    """The whole DE with MPRNet, imported by the command line as a user would."""

    def bring(description):
        folder = tmp_path_factory.mktemp("official")
        bands = description.get("bands", 3)
        reference, _ = golden(shared, f"mpr_net_{bands}bands_64x96")
        mpr = write_official(fill, reference["state_dict"], folder / "mpr.pth")
        main(["weights", "import", mpr, "--as", "mpr_net", "-o", str(folder / "mpr.safetensors")])
        de = write_official(fill, description["state_dict"], folder / "de.pth")
        target = folder / "de.safetensors"
        main(
            [
                "weights",
                "import",
                de,
                "--as",
                "de",
                "--part",
                f"reference={folder / 'mpr.safetensors'}",
                "-o",
                str(target),
            ]
        )
        return declouds.load_model(target)

    return bring


@pytest.mark.parametrize(("bands", "size"), [(3, "64x64"), (3, "96x64"), (4, "64x64"), (4, "96x64")])
def test_networks_equal_the_official_ones(shared, fill, imported, relative_error, bands, size):
    description, expected = golden(shared, f"de_network_{bands}bands_{size}")
    model = imported(description)
    shape = expected["noise_hat"].shape
    x_t = torch.from_numpy(fill.noise("x_t", shape))
    cloudy, prior = (2 * torch.from_numpy(fill.image(name, shape)) - 1 for name in ("cloudy", "prior"))
    t = torch.tensor(description["t"])
    with torch.no_grad():
        assert relative_error(model.denoiser(x_t, t, cloudy), expected["noise_hat"]) < 1e-5
        assert relative_error(model.fusion(x_t, prior, x_t, t, cloudy), expected["weight"]) < 1e-5


def norm_error(ours, theirs):
    theirs = torch.from_numpy(theirs)
    return float((ours - theirs).norm() / theirs.norm())


def test_ten_ddim_steps_equal_the_official_sample(shared, fill, imported, relative_error):
    description, expected = golden(shared, "de_ddim10_3bands_64x64")
    model = imported(description)
    cloudy = 2 * torch.from_numpy(fill.image("cloudy", expected["prior"].shape)) - 1
    noise = torch.from_numpy(fill.noise("x_T", expected["prior"].shape))
    # These weights drive MPRNet's last layer to +-300 before the clamp, so that float32 rounding alone (the golden's
    # and ours) reaches 4e-4 in single pixels of the prior: the prior is compared by its norm, and the sampler, pixel
    # by pixel, from the official prior.
    assert norm_error(model.prior(cloudy), expected["prior"]) < 1e-4
    assert norm_error(model.predict(cloudy, noise), expected["samples"][-1]) < 1e-4
    # In float64, which leaves the golden's own rounding alone (6e-5): ours in float32 reaches 1.3e-4 on some CPUs.
    model.double().reference.forward = lambda _: torch.from_numpy(expected["prior"]).double()
    for network in (model.denoiser, model.fusion):  # the encoding of the timestep is float32
        network.unet.time_embed.register_forward_pre_hook(lambda _, encoded: encoded[0].double())
    steps = []
    result = model.predict(cloudy.double(), noise.double(), record=steps.append)
    assert [int(step["t"]) for step in steps] == description["timesteps"][::-1]
    for step, fused in zip(steps, expected["fused"], strict=True):
        assert relative_error(step["fused"], fused) < 1e-4
    assert relative_error(result, expected["samples"][-1]) < 1e-4


def test_loss_terms_equal_the_official_ones(shared, fill, imported, relative_error):
    description, expected = golden(shared, "de_loss_3bands_64x64")
    networks, _ = golden(shared, "de_network_3bands_64x64")
    model = imported(networks)
    shape = expected["x_t"].shape
    clear, cloudy = (2 * torch.from_numpy(fill.image(name, shape)) - 1 for name in ("clear", "cloudy"))
    noise = torch.from_numpy(fill.noise("noise", shape))
    with torch.no_grad():
        terms = model.losses_per_image(clear, cloudy, noise, torch.tensor(description["t"]))
    assert relative_error(terms["denoise"], expected["mse"]) < 1e-4
    assert relative_error(terms["fuse"], expected["l1"]) < 1e-4
    assert relative_error(terms["denoise"] + terms["fuse"], expected["loss"]) < 1e-4
