"""DSen2-CR: published size, the long skip, and radar that reaches the result."""

import torch

from declouds.references.dsen2_cr import DSen2CR


def test_it_has_the_published_size():
    with torch.device("meta"):
        net = DSen2CR(bands=13, in_bands=15)
    block = 2 * (256 * 256 * 9 + 256)
    expected = (15 * 256 * 9 + 256) + 16 * block + (256 * 13 * 9 + 13)
    assert sum(parameter.numel() for parameter in net.parameters()) == expected == 18_947_341


def test_it_corrects_the_image_by_all_that_it_is_shown():
    torch.manual_seed(0)
    net = DSen2CR(bands=2, in_bands=4, features=8, blocks=2).eval()
    cloudy = torch.rand(1, 4, 9, 7) - 0.5
    other_radar = cloudy.clone()
    other_radar[:, 2:] += 0.3
    with torch.no_grad():
        assert not torch.allclose(net(cloudy), net(other_radar), atol=1e-3)
        net.last.weight.zero_()
        assert torch.equal(net(cloudy), cloudy[:, :2])


def test_it_learns_from_radar_what_the_cloud_hides():
    """The clear image is what radar shows, and the cloudy one is white: without radar the error stays."""
    torch.manual_seed(0)
    clear = torch.rand(8, 1, 8, 8) - 0.5
    errors = {}
    for name, radar in (("shown", clear), ("hidden", torch.zeros_like(clear))):
        torch.manual_seed(0)
        net = DSen2CR(bands=1, in_bands=2, features=8, blocks=1)
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
        cloudy = torch.cat([torch.full_like(clear, 0.9), radar], 1)
        for _ in range(60):
            (restored,) = net.training_outputs(cloudy, clear)["restorations"]
            loss = (restored - clear).abs().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        errors[name] = loss.item()
    assert errors["shown"] < 0.5 * errors["hidden"]
