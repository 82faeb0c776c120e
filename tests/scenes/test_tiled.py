import pytest
import torch

from declouds.errors import UserError
from declouds.scenes.sampling.tiled import predict_tiled


def pointwise(cloudy, noise):
    return 0.5 * cloudy[:, :2] - 0.1 * noise


@pytest.mark.parametrize("batch_size", [1, 3, 100])
@pytest.mark.parametrize("size", [(1, 1), (20, 90), (64, 64), (75, 101)])
@pytest.mark.parametrize("images", [1, 2])
def test_a_prediction_that_does_not_look_around_is_the_same_in_tiles(size, batch_size, images):
    cloudy, noise = torch.rand(images, 3, *size) * 2 - 1, torch.randn(images, 2, *size)
    tiled = predict_tiled(pointwise, cloudy, noise, 32, 8, batch_size)
    torch.testing.assert_close(tiled, pointwise(cloudy, noise), atol=2e-6, rtol=0)


def test_a_batch_has_the_windows_asked_for():
    seen = []

    def predict(cloudy, noise):
        seen.append(tuple(cloudy.shape))
        return noise

    predict_tiled(predict, torch.zeros(1, 3, 40, 100), torch.zeros(1, 3, 40, 100), 40, 10, batch_size=2)
    assert seen == [(2, 3, 40, 40), (1, 3, 40, 40)]


def test_seams_are_smooth_where_neighbours_disagree():
    """Each window says another number: the blend goes from one to the next without a step."""
    count = iter(range(10))

    def predict(cloudy, noise):
        return torch.full_like(noise, next(count))

    row = predict_tiled(predict, torch.zeros(1, 1, 32, 80), torch.zeros(1, 1, 32, 80), 32, 8)[0, 0, 5]
    assert (row[0], row[28], row[-1]) == (0, pytest.approx(0.597545, abs=1e-5), 2)
    assert row.diff().abs().max() < 0.2


def test_an_overlap_as_large_as_the_tile_is_refused():
    with pytest.raises(UserError, match="overlap goes from 0 to 31"):
        predict_tiled(pointwise, torch.zeros(1, 3, 50, 50), torch.zeros(1, 2, 50, 50), 32, 32)
