import zlib

import numpy as np
import pytest
import rasterio

from declouds.app.uploads import accepted, plain_name
from declouds.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
VRT = (
    '<VRTDataset rasterXSize="64" rasterYSize="64"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
    '<SourceFilename relativeToVRT="0">{}</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand>'
    "</VRTDataset>"
)


@pytest.fixture
def write(tmp_path):
    """Return a function that writes an image of one value."""

    def write(name, driver, value=10, **profile):
        profile = dict(driver=driver, height=64, width=64, count=1, dtype="uint8") | profile
        with rasterio.open(tmp_path / name, "w", **profile) as file:
            file.write(np.full((profile["count"], 64, 64), value, np.uint8))
        return tmp_path / name

    return write


@pytest.mark.parametrize(
    ("driver", "suffix"), [("GTiff", ".tif"), ("PNG", ".png"), ("JPEG", ".jpg"), ("JP2OpenJPEG", ".jp2")]
)
def test_an_image_is_taken_by_its_contents(write, tmp_path, driver, suffix):
    path = accepted(write("a file <b>.xyz", driver), tmp_path, tmp_path / "taken")
    assert path == tmp_path / "taken" / f"a_file_b_{suffix}"
    with rasterio.open(path) as file:
        assert file.driver == driver


def test_no_upload_makes_another_file_be_read(write, tmp_path):
    secret = write("secret.tif", "GTiff", 77)
    mosaic = VRT.format(secret).encode()
    picture = write("p.jpg", "JPEG").read_bytes()
    comment = mosaic.ljust(0x2020 - 2)
    both = tmp_path / "both.jpg"
    both.write_bytes(picture[:2] + b"\xff\xfe\x20\x20" + comment + picture[2:])
    with rasterio.open(both, driver="JPEG") as one, rasterio.open(both) as other:
        assert (one.read(1) == 10).all() and (other.read(1) == 77).all()  # a JPEG, and what GDAL would read
    (tmp_path / "v.tif").write_bytes(mosaic)
    (tmp_path / "item.json").write_text('{"type": "Feature", "stac_version": "1.0.0"}')
    (tmp_path / "grid.asc").write_text("ncols 1\nnrows 1\nxllcorner 0\nyllcorner 0\ncellsize 1\n7\n")
    for number, name in enumerate(("both.jpg", "v.tif", "item.json", "grid.asc")):
        with pytest.raises(UserError, match=f"^{name}: is no GeoTIFF, JPEG 2000, PNG or JPEG: convert it first"):
            accepted(tmp_path / name, tmp_path, tmp_path / str(number))


def test_only_uploads_are_taken(write, tmp_path):
    outside = write("outside.tif", "GTiff")
    (tmp_path / "uploads").mkdir()
    (tmp_path / "uploads" / "link.tif").symlink_to(outside)
    for path in (outside, tmp_path / "uploads" / "link.tif", tmp_path / "uploads" / ".." / "outside.tif"):
        with pytest.raises(UserError, match="drop it on the page again"):
            accepted(path, tmp_path / "uploads", tmp_path / "taken")


def test_an_image_that_claims_to_be_huge_is_refused(write, tmp_path):
    huge = tmp_path / "huge.tif"
    with rasterio.open(huge, "w", driver="GTiff", height=10**5, width=10**5, count=1, dtype="uint8", SPARSE_OK=True):
        pass
    assert huge.stat().st_size < 10**7
    picture = bytearray(write("bomb.png", "PNG").read_bytes())
    picture[16:24] = (2 * 10**5).to_bytes(4, "big") * 2
    picture[29:33] = zlib.crc32(picture[12:29]).to_bytes(4, "big")
    (tmp_path / "bomb.png").write_bytes(picture)
    for number, name in enumerate(("huge.tif", "bomb.png")):
        with pytest.raises(UserError, match=f"^{name}: has [14]0,000,000,000 values, and the page takes 2,000,000,000"):
            accepted(tmp_path / name, tmp_path, tmp_path / str(number))


def test_names_are_plain():
    assert plain_name("../../etc/x.tif") == "_.._etc_x.tif"
    assert plain_name("...") == "scene"
    assert plain_name("2018-07-05 S2@x;$(rm).TIF") == "2018-07-05_S2_x_rm_.TIF"
    assert len(plain_name("x" * 500 + ".tif")) == 84
