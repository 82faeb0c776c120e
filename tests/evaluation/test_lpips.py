import logging
import math
import time

import pytest
import torch

from declouds.errors import UserError
from declouds.evaluation import lpips_net
from declouds.evaluation.lpips_net import Lpips, load_lpips
from declouds.evaluation.protocols import measure


@pytest.fixture
def weights(shared):
    return shared / "weights" / "lpips_alexnet_features.pth"


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No weights anywhere, and no network: nothing listens at port 9."""
    monkeypatch.delenv("DECLOUDS_LPIPS_WEIGHTS", raising=False)
    monkeypatch.setenv("DECLOUDS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(lpips_net, "URL", "http://127.0.0.1:9/alexnet.pth")
    return tmp_path


def image(seed=0, size=48):
    return torch.rand(3, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_zero_for_equal_images_and_growing_with_noise(weights):
    lpips = load_lpips(weights)
    smooth = torch.linspace(-0.8, 0.8, 64).expand(3, 64, 64).contiguous()
    distances = [lpips(smooth, smooth + level * image(1, 64)) for level in (0, 0.02, 0.1, 0.4)]
    assert distances[0] == 0
    assert distances == sorted(distances)
    assert distances[3] > 10 * distances[1] > 0


def test_the_same_value_as_torchmetrics_has_with_these_weights(weights):
    from torchmetrics.functional.image.lpips import _LPIPS

    oracle = _LPIPS(pretrained=True, net="alex", pnet_rand=True)
    features = torch.load(weights, weights_only=True)
    oracle.net.load_state_dict({key: features["features." + key.split(".", 1)[1]] for key in oracle.net.state_dict()})
    with torch.no_grad():
        expected = oracle.eval()(image(1)[None], image(2)[None]).item()
    assert load_lpips(weights)(image(1), image(2)) == pytest.approx(expected, rel=1e-5)


def test_building_it_leaves_the_random_numbers_as_they_were(weights):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    Lpips(weights)
    assert torch.equal(before, torch.get_rng_state())


def test_where_the_weights_are_looked_for(weights, offline, monkeypatch):
    monkeypatch.setenv("DECLOUDS_LPIPS_WEIGHTS", str(weights))
    assert load_lpips() is load_lpips(weights)
    monkeypatch.delenv("DECLOUDS_LPIPS_WEIGHTS")
    for folder in (offline / "torch" / "hub" / "checkpoints", offline / "cache"):
        folder.mkdir(parents=True)
        (folder / lpips_net.FILE_NAME).write_bytes(weights.read_bytes())
        assert isinstance(load_lpips(), Lpips)
        (folder / lpips_net.FILE_NAME).unlink()


def test_without_weights_and_network_the_column_is_absent_and_one_warning_says_so(offline, caplog):
    begin = time.monotonic()
    with caplog.at_level(logging.WARNING, logger="declouds"):
        assert load_lpips() is None
        assert load_lpips() is None
    assert time.monotonic() - begin < 3
    assert len(caplog.records) == 1
    assert "--lpips-weights" in caplog.text
    values = measure(image(1), image(2), ("official", "standard"), load_lpips())
    assert not [key for key in values if "lpips" in key]
    assert not [path for path in offline.rglob("*") if path.is_file()]


def test_a_download_with_another_digest_is_not_kept(weights, offline, monkeypatch, caplog):
    monkeypatch.delenv("DECLOUDS_OFFLINE", raising=False)
    monkeypatch.setattr(lpips_net, "URL", weights.as_uri())
    assert load_lpips() is None
    assert "digest" in caplog.text
    assert not [path for path in offline.rglob("*") if path.is_file()]


def test_a_wrong_file_is_named(weights, tmp_path):
    with pytest.raises(UserError, match=r"absent\.pth.*check the path"):
        load_lpips(tmp_path / "absent.pth")
    broken = tmp_path / "broken.pth"
    broken.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"broken\.pth.*damaged"):
        load_lpips(broken)
    features = torch.load(weights, weights_only=True)
    torch.save({key: value for key, value in features.items() if ".6." not in key}, tmp_path / "part.pth")
    with pytest.raises(UserError, match=r"part\.pth.*lacks features\.6\.weight, features\.6\.bias"):
        load_lpips(tmp_path / "part.pth")
    torch.save(features | {"features.0.weight": torch.zeros(1)}, tmp_path / "shape.pth")
    with pytest.raises(UserError, match=r"shape\.pth.*layer sizes differ"):
        load_lpips(tmp_path / "shape.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(UserError, match=r"list\.pth.*not a state dict"):
        load_lpips(tmp_path / "list.pth")


def test_images_too_small_give_nan_and_a_warning(weights, caplog):
    lpips = load_lpips(weights)
    lpips_net._say_too_small.cache_clear()
    with caplog.at_level(logging.WARNING, logger="declouds"):
        assert math.isnan(lpips(image(1, 30), image(2, 30)))
        assert math.isnan(lpips(image(1, 30), image(2, 30)))
    assert len(caplog.records) == 1 and "31" in caplog.text
    assert math.isfinite(lpips(image(1, 31), image(2, 31)))
