"""The sources of a cloudy input: what a model's record says of its channels."""

import pytest

from declouds.errors import UserError
from declouds.models import OnePass
from declouds.sources import Source, read_sources

IMAGE = dict(name="image", kind="optical", bands=["red", "green", "blue"], value_range=[0, 10000])
SAR = dict(name="sar", kind="sar", bands=["vv", "vh"], value_range=[-25, 0], days=-3.0, optional=True)


def test_sources_are_read_in_order_and_a_missing_one_has_a_flag():
    image, sar = read_sources([IMAGE, SAR], 6)
    assert image == Source("image", "optical", ("red", "green", "blue"), (0, 10000))
    assert (image.channels, sar.channels, sar.days, sar.optional) == (3, 3, -3.0, True)


@pytest.mark.parametrize(
    ("sources", "in_bands", "message"),
    [
        ([IMAGE, SAR], 5, "the sources have 6 channels, but in_bands=5"),
        ([{**IMAGE, "band": 1}], 3, "a source is dict"),
        ([{key: IMAGE[key] for key in ("name", "kind", "bands")}], 3, "a source is dict"),
    ],
)
def test_sources_that_do_not_fit_are_refused(sources, in_bands, message):
    with pytest.raises(UserError, match=message):
        read_sources(sources, in_bands)


def test_a_model_records_its_sources():
    model = OnePass(reference=dict(type="Identity"), losses=[], bands=3, in_bands=6, inputs=[IMAGE, SAR])
    assert [source.name for source in model.inputs] == ["image", "sar"]
    (only,) = OnePass(reference=dict(type="Identity"), losses=[], bands=2, value_range=(0, 1)).inputs
    assert only == Source("image", "optical", ("1", "2"), (0, 1))
