"""A small STAC API: a collection of made-up Sentinel-2 dates of one place, on the server of `web_server`."""

from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.warp import transform_bounds

COLLECTION = "sentinel-2-l2a"
CRS, PLACE, SIDE = "EPSG:32633", Affine(10, 0, 499980, 0, -10, 5100000), 1100
BOUNDS = transform_bounds(CRS, "EPSG:4326", 499980, 5100000 - 10 * SIDE, 499980 + 10 * SIDE, 5100000)
BOX = (15.02, 46.0, 15.05, 46.02)
CORE = [f"https://api.stacspec.org/v1.0.0/{name}" for name in ("core", "item-search", "ogcapi-features", "collections")]


def scene_of(day):
    """Return the pixels of a day, of red, green, blue. Shapes: (3, h, w)."""
    generator = np.random.default_rng(int(day.replace("-", "")))
    ground = np.random.default_rng(0).integers(300, 3000, (3, SIDE, SIDE))
    return (ground + generator.integers(0, 40, (3, SIDE, SIDE))).astype(np.uint16)


def raster(path, pixels, transform=PLACE, **profile):
    with rasterio.open(
        path, "w", driver="GTiff", count=1, dtype=pixels.dtype, height=pixels.shape[0], width=pixels.shape[1], crs=CRS,
        transform=transform, tiled=True, blockxsize=256, blockysize=256, compress="deflate", **profile,
    ) as file:  # fmt: skip
        file.write(pixels, 1)


def add_date(root, day, cloud, clouded=None, footprint=None, tile="33TWM"):
    """Write the files of a date, and return its item."""
    folder = root / f"{tile}_{day}"
    folder.mkdir(parents=True)
    for name, pixels in zip(("red", "green", "blue"), scene_of(day), strict=True):
        if clouded is not None:
            pixels[clouded] = 9000
        raster(folder / f"{name}.tif", pixels, nodata=0)
    classes = np.full((SIDE // 2, SIDE // 2), 4, np.uint8)
    if clouded is not None:
        classes[tuple(slice(part.start // 2, part.stop // 2) for part in clouded)] = 9
    raster(folder / "SCL.tif", classes, PLACE @ Affine.scale(2), nodata=0)
    west, south, east, north = footprint or BOUNDS
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    assets = {name: {"href": f"/{folder.name}/{name}.tif"} for name in ("red", "green", "blue")}
    assets["B04"] = assets.pop("red") | {"eo:bands": [{"common_name": "red"}]}
    for asset in assets.values():
        asset["raster:bands"] = [{"scale": 1e-4, "offset": -0.1, "nodata": 0}]
    return {
        **dict(type="Feature", stac_version="1.0.0", id=folder.name, bbox=[west, south, east, north], links=[]),
        **dict(geometry={"type": "Polygon", "coordinates": [ring]}, collection=COLLECTION),
        "assets": assets | {"scl": {"href": f"/{folder.name}/SCL.tif"}},
        "properties": {"datetime": f"{day}T10:00:00Z", "eo:cloud_cover": cloud},
    }


def serve_api(server, items):
    """Answer as an API with these items; return its address."""
    api = f"{server.url}/v1"

    def link(rel, path="", **more):
        return {"rel": rel, "type": "application/json", "href": f"{api}{path}", **more}

    collection = {
        **dict(type="Collection", stac_version="1.0.0", id=COLLECTION, description="dates", license="other", links=[]),
        "extent": {"spatial": {"bbox": [list(BOUNDS)]}, "temporal": {"interval": [["2020-01-01T00:00:00Z", None]]}},
    }
    links = [link("self"), link("root"), link("data", "/collections"), link("search", "/search", method="POST")]
    landing = dict(type="Catalog", stac_version="1.0.0", id="api", description="dates", conformsTo=CORE, links=links)
    server.page("/v1", landing)
    server.page("/v1/collections", {"collections": [collection], "links": []})
    full = []
    for item in items:
        place = f"/collections/{COLLECTION}/items/{item['id']}"
        assets = {key: asset | {"href": asset["href"] + "?sig=SECRET"} for key, asset in item["assets"].items()}
        full.append(item | {"links": [link("self", place), link("root")], "assets": assets})
        server.page(f"/v1{place}", full[-1])
    server.search("/v1/search", full)
    return api


def fill(root: Path):
    """Write four dates, one of which does not cover the box, and return their items."""
    half = (BOUNDS[0], BOUNDS[1], (BOX[0] + BOX[2]) / 2, BOUNDS[3])
    return [
        add_date(root, "2024-06-01", 2.0),
        add_date(root, "2024-06-20", 90.0),
        add_date(root, "2024-06-25", 5.0),
        add_date(root, "2024-07-01", 40.0, clouded=(slice(0, SIDE), slice(0, 270))),
        add_date(root, "2024-07-05", 0.0, footprint=half),
    ]
