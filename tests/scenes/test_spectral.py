import pytest

from declouds.scenes.rasters.spectral import spectral_words


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("B01", "B2", "B05", "B8A", "B10", "B11"), ("coastal", "blue", "rededge1", "nir08", "cirrus", "swir1")),
        (("S2 B04 10m", "S2 B08 10m", "B12"), ("red", "nir", "swir2")),
        (("Blue", "Red Edge", "Red Edge 1", "rededge_2", "NIR"), ("blue", None, "rededge1", "rededge2", "nir")),
        (("Near Infrared (NIR)", "nir_narrow", "swir16", "SWIR2"), ("nir", "nir08", "swir1", "swir2")),
        (("SR_B2", "SR_B4", "SR_B5", "SR_B6", "ST_B10"), ("blue", "red", "nir08", "swir1", None)),
        (("blue/green", "SCL", "", None, "red red"), (None, None, None, None, "red")),
    ],
)
def test_names_of_sensors(names, words):
    assert spectral_words(names) == list(words)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("B1", "B4", "B5"), (None, None, None)),
        (("B02", "B03", "B04", "B05", "B11"), ("blue", "green", "red", None, None)),  # HLS of Landsat, or Sentinel-2
        (("SR_B3", "SR_B4", "SR_B5"), (None, None, None)),
    ],
)
def test_names_that_several_sensors_have_are_not_guessed(names, words):
    assert spectral_words(names) == list(words)


def test_the_red_band_tells_which_landsat_it_is():
    names = ("SR_B2", "SR_B3", "SR_B4", "SR_B5")
    assert spectral_words(names, red="SR_B4") == ["blue", "green", "red", "nir08"]
    assert spectral_words(names, red="SR_B3") == ["green", "red", "nir", "swir1"]
