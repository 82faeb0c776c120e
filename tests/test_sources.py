"""The sources of a cloudy input: what a model's record says of its channels."""

import json

import numpy as np
import pytest

from declouds.errors import UserError
from declouds.models import OnePass
from declouds.sources import FILL, MISSING, PRESENT, Source, channels_of, read_sources

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
        ([IMAGE, {**SAR, "name": "image"}], 6, "several sources are called image"),
        ([{**IMAGE, "value_range": [[0, 1], [0, 2]]}], 3, "2 value ranges for 3 bands"),
        ([{**IMAGE, "value_range": []}], 3, "a source is dict"),
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


def test_each_band_may_have_its_own_range_and_a_config_reads_back():
    sar = Source("sar", "sar", ("VV", "VH"), ((-25.0, 0.0), (-32.5, 0.0)), days=2.0, optional=True)
    config = json.loads(json.dumps(sar.config()))
    assert config["value_range"] == [[-25, 0], [-32.5, 0]]
    assert read_sources([config], 3) == (sar,)
    values = np.array([[[-25.0, np.nan]], [[-16.25, np.nan]]], np.float32)
    channels = sar.to_model(values, np.array([[True, False]]))
    assert channels.tolist() == [[[-1, FILL]], [[0, FILL]], [[PRESENT, MISSING]]]
    assert sar.missing(1, 2).tolist() == [[[FILL, FILL]], [[FILL, FILL]], [[MISSING, MISSING]]]
    assert channels_of([read_sources([IMAGE], 3)[0], sar]) == {"image": slice(0, 3), "sar": slice(3, 6)}
