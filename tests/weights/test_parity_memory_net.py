"""The imported MemoryNet gives the outputs of the authors' code."""

import json

import pytest
import torch

from declouds.errors import UserError
from declouds.registry import REFERENCES
from declouds.weights.kinds.official import import_official

# What the authors' memory has beside MPRNet's keys.
MEMORY = {
    "memory.memory.weight": (100, 3),
    "memory.memory.reweight_layer_part.weight": (5, 5, 1),
    "memory.memory.reweight_layer_part.bias": (5,),
    "memory.memory.reweight_layer_ins.weight": (2, 2, 1),
    "memory.memory.reweight_layer_ins.bias": (2,),
}
# Values of the authors' network at three places (band, row, column) for the weights and the image below, and the
# greatest of all of each output: stages 3, 2, 1, then what the memory gives to stages 3, 2, 1.
PLACES = ((0, 0, 0), (1, 13, 29), (2, 31, 47))
EXPECTED = (
    (1445.5173, (-158.43364, -67.523293, -116.33075)),
    (73.245903, (-5.041904, -19.850016, -22.074999)),
    (22.511721, (-4.602581, 4.073427, -5.156399)),
    (0.132654, (0.009893, 0.105551, 0.020811)),
    (1.032122, (0.320664, 0.892691, 0.194393)),
    (8.185451, (1.134058, 4.339586, 1.907655)),
)


@pytest.fixture(scope="module")
def official(shared, fill):
    """A whole official state dict, its memory far enough apart to leave items out."""
    mpr_net = json.loads((shared / "goldens" / "mpr_net_3bands_64x96.json").read_text())["state_dict"]
    keys = dict(mpr_net) | MEMORY
    state_dict = {key: torch.from_numpy(fill.fill(key, tuple(shape))) for key, shape in keys.items()}
    state_dict["memory.memory.weight"] *= 4
    return state_dict


def test_imported_network_equals_the_authors(official, fill, tmp_path):
    path = tmp_path / "official.pth"
    torch.save(dict(state_dict={f"module.{key}": value for key, value in official.items()}), path)
    config, ours = import_official(path, "memory_net")
    assert (config["classes"], config["prototypes"], config["parts"]) == (10, 2, 5)
    network = REFERENCES.build(config).eval()
    network.load_state_dict(ours, strict=True)

    cloudy = torch.from_numpy(fill.image("cloudy", (1, 3, 32, 48)))
    with torch.inference_mode():
        restored = network.training_outputs(2 * cloudy - 1, cloudy)["restorations"]
        outputs = [(image + 1) / 2 for image in restored] + list(network.stage_images(cloudy))[::-1]
    for output, (greatest, values) in zip(outputs, EXPECTED, strict=True):
        assert float(output.abs().max()) == pytest.approx(greatest, rel=5e-5)
        for place, value in zip(PLACES, values, strict=True):
            assert abs(float(output[0][place]) - value) < 2e-5 * greatest


@pytest.mark.parametrize("kind", ["mpr_net", "msda"])
def test_its_files_are_told_from_mpr_nets(official, tmp_path, kind):
    path = tmp_path / "official.pth"
    torch.save(official, path)
    with pytest.raises(UserError, match="looks like memory_net weights: import it as memory_net"):
        import_official(path, kind)
    torch.save({key: value for key, value in official.items() if key not in MEMORY}, path)
    with pytest.raises(UserError, match="looks like mpr_net weights"):
        import_official(path, "memory_net")


def test_an_incomplete_file_is_not_taken_for_mpr_nets(official, tmp_path):
    path = tmp_path / "official.pth"
    torch.save({key: value for key, value in official.items() if key != "concat23.weight"}, path)
    with pytest.raises(UserError, match=r"1 missing .*: give the complete official file"):
        import_official(path, "memory_net")
