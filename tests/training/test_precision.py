"""bfloat16 is what networks compute in under `--precision bf16`, and nothing else is."""

import json
from collections import defaultdict

import pytest
import torch
from mmengine.registry import LOOPS
from safetensors.torch import load_file

import declouds.training.coarse_to_fine  # noqa: F401 (registers the loop)
from declouds.cli import main
from declouds.discriminators.patch_discriminator import PatchDiscriminator
from declouds.layers.unet import UNet

EXTRA = """
datamodule["test"] = datamodule["val"] = 1
reference_stages = [
    dict(stages[0], iterations=1, discriminator=dict(type="PatchDiscriminator", base=8, halvings=2),
         adversarial_loss=dict(type="LeastSquaresGAN", weight=0.05)),
]
stages = [
    dict(stages[1], name="denoiser", iterations=1, val_interval=None),
    dict(stages[2], name="fusion", iterations=1),
]
"""


@pytest.fixture
def computed(monkeypatch):
    """What U-Nets and discriminators give: (in an iteration of training or not, trained or frozen) -> types."""
    seen, place = defaultdict(set), ["elsewhere"]

    def watch(kind):
        forward = kind.forward

        def watched(self, *inputs):
            output = forward(self, *inputs)
            trained = any(parameter.requires_grad for parameter in self.parameters())
            seen[place[0], kind.__name__, "trained" if trained else "frozen"].add(output.dtype)
            return output

        monkeypatch.setattr(kind, "forward", watched)

    loop = LOOPS.get("StageLoop")
    run_iter = loop.run_iter

    def watched_iteration(self, batch):
        place[0] = "training"
        run_iter(self, batch)
        place[0] = "elsewhere"

    monkeypatch.setattr(loop, "run_iter", watched_iteration)
    watch(UNet)
    watch(PatchDiscriminator)
    return seen


@pytest.mark.parametrize("precision", ["fp32", "bf16", "auto"])
def test_networks_train_in_bfloat16_and_are_evaluated_in_float32(
    tiny_config, tmp_path, computed, monkeypatch, precision
):
    monkeypatch.setenv("DECLOUDS_OFFLINE", "1")  # no LPIPS
    monkeypatch.setattr("declouds.inference.has_bf16", lambda device: True)
    config, work_dir = tiny_config(extra=EXTRA), tmp_path / "run"
    main(["train", str(config), "--work-dir", str(work_dir), "--precision", precision])
    expected = {torch.float32 if precision == "fp32" else torch.bfloat16}
    training = {key[1:]: types for key, types in computed.items() if key[0] == "training"}
    # The reference and the fusion are trained beside frozen parts, and each against or by what is frozen.
    assert set(training) == {
        ("UNet", "trained"),
        ("UNet", "frozen"),
        ("PatchDiscriminator", "trained"),
        ("PatchDiscriminator", "frozen"),
    }
    assert all(types == expected for types in training.values())
    elsewhere = {key: types for key, types in computed.items() if key[0] == "elsewhere"}
    assert elsewhere and all(types == {torch.float32} for types in elsewhere.values())
    computed.clear()
    main(["test", str(config), str(work_dir / "model.safetensors"), "--device", "cpu"])
    assert computed and all(types == {torch.float32} for types in computed.values())
    assert {value.dtype for value in load_file(work_dir / "model.safetensors").values()} == {torch.float32}
    record = json.loads((work_dir / "run.json").read_text())
    assert record["config"]["precision"] == ("fp32" if precision == "fp32" else "bf16")


def test_a_device_without_bfloat16_is_refused_before_any_work(tiny_config, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("declouds.inference.has_bf16", lambda device: False)
    with pytest.raises(SystemExit):
        main(["train", str(tiny_config()), "--work-dir", str(tmp_path / "run"), "--precision", "bf16"])
    assert "does not compute bfloat16 in hardware: use --precision fp32" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
