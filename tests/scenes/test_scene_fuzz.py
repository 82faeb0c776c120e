"""Hostile TIFFs: each ends in a result or in one line that says what is wrong, and nothing is left behind.

All files are cleared in another process, with a limit on its memory: one that ends without a word, or takes too long,
is told by name, and a new one goes on with the next file.
"""

import functools
import json
import os
import random
import signal
import struct
import subprocess
import sys
import traceback
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.io import MemoryFile

from declouds.hardware import peak_memory

ADDRESSES = 5 * 2**28  # bytes of address space that the process may take beyond what its libraries take
MEMORY = 2**28  # bytes of memory that one file may take
FILE_SIZE = 2**27  # bytes of the largest file that it may write
SECONDS = 20  # for one file
LONGEST = 2000  # characters of a line that somebody reads
SEED = 20261122

# Types of TIFF's values: code, size, and how Python packs them.
ASCII, SHORT, LONG, DOUBLE, LONG8 = (2, "s"), (3, "H"), (4, "I"), (12, "d"), (16, "Q")
WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, OFFSETS, SAMPLES, ROWS, COUNTS = (
    256, 257, 258, 259, 262, 273, 277, 278, 279,
)  # fmt: skip
SUBFILE, PLANAR, PREDICTOR, COLOURS, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_COUNTS, EXTRA, FORMAT = (
    254, 284, 317, 320, 322, 323, 324, 325, 338, 339,
)  # fmt: skip
PIXEL_SCALE, TIEPOINT, GEO_KEYS, METADATA, NODATA = 33550, 33922, 34735, 42112, 42113
SIZE = 40  # of the small images


# Written by hand: every lie that a directory can tell.


def tiff(*directories, data=bytes(range(1, 251)) * 7, big=False, loop=None, next_=0):
    """Return a TIFF of directories, each tag -> (type, values); the pixels lie at byte 16."""
    word, entry = ("Q", "<HHQ") if big else ("I", "<HHI")
    inline = 8 if big else 4
    data = data + b"\0" * (-len(data) % 8)
    start = 16 + len(data)
    content, place = b"", start
    for number, tags in enumerate(directories):
        length = (8 if big else 2) + len(tags) * (20 if big else 12) + inline
        entries, values = struct.pack("<Q" if big else "<H", len(tags)), b""
        for tag, (kind, value) in tags.items():
            packed, count = _packed(kind, value)
            entries += struct.pack(entry, tag, kind[0], count)
            if len(packed) > inline:
                entries += struct.pack("<" + word, place + length + len(values))
                values += packed + b"\0" * (-len(packed) % 8)
            else:
                entries += packed.ljust(inline, b"\0")
        after = place + length + len(values) if number + 1 < len(directories) else next_
        if loop == number:
            after = start
        content += entries + struct.pack("<" + word, after) + values
        place = start + len(content)
    header = struct.pack("<2sHHHQ", b"II", 43, 8, 0, start) if big else struct.pack("<2sHIQ", b"II", 42, start, 0)
    return header + data + content


def _packed(kind, value):
    if isinstance(value, bytes):
        return value, len(value)
    values = value if isinstance(value, tuple) else (value,)
    return struct.pack(f"<{len(values)}{kind[1]}", *values), len(values)


def plain(**changes):
    """Return the tags of a small image of one band in one strip."""
    tags = {
        **{WIDTH: (LONG, SIZE), HEIGHT: (LONG, SIZE), BITS: (SHORT, 8), COMPRESSION: (SHORT, 1)},
        **{PHOTOMETRIC: (SHORT, 1), OFFSETS: (LONG, 16), SAMPLES: (SHORT, 1), ROWS: (LONG, SIZE)},
        **{COUNTS: (LONG, SIZE * SIZE), PLANAR: (SHORT, 1), FORMAT: (SHORT, 1)},
        **{PIXEL_SCALE: (DOUBLE, (10.0, 10.0, 0.0)), TIEPOINT: (DOUBLE, (0.0, 0.0, 0.0, 5e5, 5e6, 0.0))},
    }
    for name, change in changes.items():
        if change is None:
            tags.pop(globals()[name], None)
        else:
            tags[globals()[name]] = change if isinstance(change, tuple) and change[0] in KINDS else (LONG, change)
    return dict(sorted(tags.items()))


KINDS = (ASCII, SHORT, LONG, DOUBLE, LONG8)


def tiled(side=16, **changes):
    """Return the tags of the same in tiles."""
    count = (-(-SIZE // side)) ** 2
    tiles = {TILE_WIDTH: (LONG, side), TILE_HEIGHT: (LONG, side), TILE_OFFSETS: (LONG, (16,) * count)}
    tags = plain(**dict(OFFSETS=None, COUNTS=None, ROWS=None)) | tiles
    tags |= {TILE_COUNTS: (LONG, (side * side,) * count)}
    for name, change in changes.items():
        tags[globals()[name]] = change if isinstance(change, tuple) and change[0] in KINDS else (LONG, change)
    return dict(sorted(tags.items()))


def sizes():
    """Sizes that cannot be true."""
    million, most = 10**6, 2**31 - 1
    yield "rows of a strip each", tiff(plain(WIDTH=million, HEIGHT=million, ROWS=1))
    yield "one strip", tiff(plain(WIDTH=million, HEIGHT=million, ROWS=million))
    yield "one compressed strip", tiff(plain(WIDTH=million, HEIGHT=million, ROWS=million, COMPRESSION=8))
    yield "one strip of 900 MB", tiff(plain(WIDTH=30000, HEIGHT=30000, ROWS=30000))
    yield "one compressed strip of 900 MB", tiff(plain(WIDTH=30000, HEIGHT=30000, ROWS=30000, COMPRESSION=8))
    yield "wide", tiff(plain(WIDTH=most, HEIGHT=1, ROWS=1))
    yield "high", tiff(plain(WIDTH=1, HEIGHT=most, ROWS=most))
    yield "high, rows of a strip each", tiff(plain(WIDTH=1, HEIGHT=most, ROWS=1))
    yield "beyond the limit", tiff(plain(WIDTH=2**32 - 1, HEIGHT=2**32 - 1))
    yield "tiles", tiff(tiled(WIDTH=million, HEIGHT=million))
    yield "tiles with nodata", tiff(tiled(WIDTH=million, HEIGHT=million, NODATA=(ASCII, b"0\0")))
    yield "huge tile", tiff(tiled(16, WIDTH=million, HEIGHT=million, TILE_WIDTH=10**5 * 16, TILE_HEIGHT=10**5 * 16))
    yield "huge tile of a small image", tiff(tiled(16, TILE_WIDTH=32768, TILE_HEIGHT=32768, TILE_OFFSETS=16))
    yield "all blocks in one place", tiff(plain(WIDTH=20000, HEIGHT=20000, ROWS=1, OFFSETS=(LONG, (16,) * 20000),
                                                COUNTS=(LONG, (1,) * 20000)))  # fmt: skip
    yield "all blocks in one place, with nodata", tiff(
        plain(WIDTH=20000, HEIGHT=20000, ROWS=1, OFFSETS=(LONG, (16,) * 20000), COUNTS=(LONG, (1,) * 20000),
              NODATA=(ASCII, b"0\0")))  # fmt: skip
    yield "bands", tiff(plain(SAMPLES=65535, PLANAR=2, BITS=(SHORT, (8,) * 65535)))
    yield "BigTIFF", tiff(plain(WIDTH=million, HEIGHT=million, OFFSETS=(LONG8, 16), COUNTS=(LONG8, 2**62)), big=True)
    for name in ("WIDTH", "HEIGHT", "SAMPLES", "ROWS"):
        yield f"no {name}", tiff(plain(**{name: 0}))
        yield f"{name} left out", tiff(plain(**{name: None}))
    yield "no tile width", tiff(tiled(TILE_WIDTH=0))
    yield "no bands", tiff(plain(SAMPLES=0, BITS=None, FORMAT=None))


def types():
    """Pixels of every kind of bits, of which few are images."""
    for bits in (0, 1, 2, 4, 7, 8, 12, 16, 24, 32, 33, 64, 128, 65535):
        for kind in (1, 2, 3, 5, 6, 99):
            content = np.random.default_rng(bits).bytes(SIZE * SIZE * min(max(bits, 8), 128) // 8)
            tags = plain(BITS=(SHORT, bits), FORMAT=(SHORT, kind), COUNTS=len(content))
            yield f"{bits} bits of kind {kind}", tiff(tags, data=content)
    for photometric in (0, 2, 3, 4, 5, 6, 8, 32803, 34892, 60000):
        yield f"photometric {photometric}", tiff(plain(PHOTOMETRIC=(SHORT, photometric)))
    yield "palette", tiff(plain(PHOTOMETRIC=(SHORT, 3), COLOURS=(SHORT, (7,) * 768)))
    yield "short palette", tiff(plain(PHOTOMETRIC=(SHORT, 3), COLOURS=(SHORT, (7,) * 70)))
    yield "extra samples of nothing", tiff(plain(EXTRA=(SHORT, (1, 2, 1, 2))))
    yield "one band, transparent", tiff(plain(EXTRA=(SHORT, 2)))


def blocks():
    """Blocks that lie elsewhere, or hold something else."""
    garbage = np.random.default_rng(0).integers(0, 256, 2000).astype(np.uint8).tobytes()
    codes = (2, 3, 4, 5, 6, 7, 8, 32773, 32946, 34661, 34676, 34712, 34887, 34925, 50000, 50001, 50002, 60000)
    for code in codes:
        yield f"compression {code}", tiff(plain(COMPRESSION=(SHORT, code), COUNTS=2000), data=garbage)
        yield f"compression {code}, tiles", tiff(tiled(COMPRESSION=(SHORT, code)), data=garbage)
    for predictor in (0, 2, 3, 99):
        tags = plain(COMPRESSION=(SHORT, 8), COUNTS=2000, PREDICTOR=(SHORT, predictor))
        yield f"predictor {predictor}", tiff(tags, data=garbage)
    for offset in (0, 1, 8, 1700, 2**31, 2**32 - 1):
        yield f"strip at {offset}", tiff(plain(OFFSETS=offset))
        yield f"tiles at {offset}", tiff(tiled(TILE_OFFSETS=(LONG, (16,) * 4 + (offset,) * 5)))
    for count in (0, 1, SIZE, 2**31, 2**32 - 1):
        yield f"strip of {count} bytes", tiff(plain(COUNTS=count))
        yield f"compressed strip of {count} bytes", tiff(plain(COUNTS=count, COMPRESSION=8), data=garbage)
        yield f"tiles of {count} bytes", tiff(tiled(TILE_COUNTS=(LONG, (count,) * 9)))
    yield "fewer offsets than tiles", tiff(tiled(TILE_OFFSETS=(LONG, (16,) * 3)))
    yield "fewer counts than tiles", tiff(tiled(TILE_COUNTS=(LONG, (256,) * 3)))
    yield "tiles of odd size", tiff(tiled(TILE_WIDTH=17, TILE_HEIGHT=3))
    yield "no counts", tiff(plain(COUNTS=None))
    yield "no offsets", tiff(plain(OFFSETS=None))
    yield "strips and tiles", tiff(plain() | tiled())


def directories():
    """Directories that lead astray."""
    image, overview, mask = plain(), plain(SUBFILE=1, WIDTH=20, HEIGHT=20), dict(SUBFILE=4, BITS=(SHORT, 1))
    yield "loop of one", tiff(image, loop=0)
    yield "loop of two", tiff(image, overview, loop=1)
    for place in (1, 7, 16, 2**31, 2**32 - 1):
        yield f"next at {place}", tiff(image, next_=place)
    yield "greater overview", tiff(image, plain(SUBFILE=1, WIDTH=4000, HEIGHT=4000))
    yield "huge overview", tiff(image, plain(SUBFILE=1, WIDTH=10**6, HEIGHT=10**6))
    yield "overview of other type", tiff(image, plain(SUBFILE=1, WIDTH=20, HEIGHT=20, BITS=(SHORT, 16)))
    yield "overview beyond the end", tiff(image, plain(SUBFILE=1, WIDTH=20, HEIGHT=20, OFFSETS=2**31))
    yield "many images", tiff(*[image] * 300)
    for name, change in {
        **{"fitting": {}, "smaller": dict(WIDTH=20, HEIGHT=20), "greater": dict(WIDTH=400, HEIGHT=400)},
        **{"huge": dict(WIDTH=10**6, HEIGHT=10**6, ROWS=10**6), "of 8 bits": dict(BITS=(SHORT, 8))},
        **{"of 16 bits": dict(BITS=(SHORT, 16)), "of 3 bands": dict(SAMPLES=3), "of no size": dict(WIDTH=0)},
        **{"beyond the end": dict(OFFSETS=2**31), "of garbage": dict(COMPRESSION=8)},
    }.items():
        yield f"mask {name}", tiff(image, plain(**mask | change))
    whole = tiff(image)
    start = struct.unpack("<I", whole[4:8])[0]
    for count in (0, 1, 14, 255, 65535):
        yield f"{count} tags", whole[:start] + struct.pack("<H", count) + whole[start + 2 :]
    for number in range(len(image)):
        entry = start + 2 + 12 * number
        for kind in (0, 1, 2, 99):
            yield f"tag {number} of type {kind}", whole[: entry + 2] + struct.pack("<H", kind) + whole[entry + 4 :]
        for count in (0, 3, 2**32 - 1):
            yield f"tag {number}, {count} values", whole[: entry + 4] + struct.pack("<I", count) + whole[entry + 8 :]
        for value in (0, 2**32 - 1):
            yield f"tag {number} is {value}", whole[: entry + 8] + struct.pack("<I", value) + whole[entry + 12 :]
    for header in (b"II*\0", b"MM\0*", b"II+\0", b"II+\0\x08\0\0\0", b"II+\0\x04\0\0\0", b"II\0\0", b"PK\3\4", b"%PDF"):
        yield f"header {header!r}", header + tiff(image)[len(header) :]
    for place in (0, 1, 16, 2**33, 2**63, 2**64 - 1):
        yield f"BigTIFF's directory at {place}", struct.pack("<2sHHHQ", b"II", 43, 8, 0, place) + whole[16:]
    yield "BigTIFF", tiff(image, big=True)
    yield "BigTIFF of 2**63 values", tiff(image | {BITS: (LONG8, 2**63)}, big=True)
    yield "BigTIFF of 2**63 tags", struct.pack("<2sHHHQQ", b"II", 43, 8, 0, 16, 2**63) + bytes(500)
    yield "nothing", b""


def descriptions():
    """Descriptions that make no sense."""
    for text in (
        b"abc",
        b"1e999",
        b"-1e999",
        b"nan",
        b"",
        b"0\0",
        b"255.5",
        b"\xff\xfe",
        b"9" * 5000,
        b"-9999",
        b"7 8",
    ):
        yield f"nodata {text[:9]!r}", tiff(plain(NODATA=(ASCII, text + b"\0")))
    roles = ("scale", "offset")
    values = (
        "0",
        "-1",
        "nan",
        "inf",
        "-inf",
        "1e300",
        "1e-300",
        "1e-320",
        "1e308",
        "-1e308",
        "abc",
        "",
        "1e-17",
        "1e17",
    )
    for role in roles:
        for value in values:
            item = f'<Item name="{role.upper()}" sample="0" role="{role}">{value}</Item>'
            yield f"{role} {value}", tiff(plain(METADATA=(ASCII, f"<GDALMetadata>{item}</GDALMetadata>\0".encode())))
    item = '<Item name="DESCRIPTION" sample="0" role="description">{}</Item>'
    tag = '<Item name="{}">{}</Item>'
    for name, text in {
        **{"not XML": b"<GDALMetadata", "nested": b"<a>" * 5000, "other": b"<svg/>"},
        **{"description in Latin-1": item.format("Präzision").encode("latin-1")},
        **{"lines in a description": item.format("a&#10;b").encode(), "long": item.format("x" * 50000).encode()},
        **{"tag in Latin-1": tag.format("Größe", "ü").encode("latin-1")},
        **{"tag of lines": tag.format("a", "&#10;").encode()},
        **{"tag with =": tag.format("a=b", "c=d").encode(), "tag without a name": tag.format("", "x").encode()},
        **{"band 99": item.replace('"0"', '"99"').encode(), "band -1": item.replace('"0"', '"-1"').encode()},
    }.items():
        whole = text if name in ("not XML", "nested", "other") else b"<GDALMetadata>" + text + b"</GDALMetadata>"
        yield f"metadata: {name}", tiff(plain(METADATA=(ASCII, whole + b"\0")))
    for scale in ((0.0, 0.0, 0.0), (float("nan"),) * 3, (float("inf"),) * 3, (1e-320,) * 3, (-10.0, -10.0, 0.0)):
        yield f"pixels of {scale[0]}", tiff(plain(PIXEL_SCALE=(DOUBLE, scale)))
    for keys in ((1, 1, 0, 65535), (1, 1, 0, 1, 3072, 0, 1, 99999 % 65536), (1, 1, 0, 1, 3072, 0, 1, 32618), (9, 9, 9)):
        yield f"keys {keys}", tiff(plain(GEO_KEYS=(SHORT, keys)))


# Written by GDAL, then damaged.

PROFILES = {
    **{"raw": {}, "deflate": dict(compress="deflate", tiled=True), "lzw": dict(compress="lzw", predictor=2)},
    **{"jpeg": dict(compress="jpeg", photometric="ycbcr", tiled=True), "big": dict(bigtiff="yes", interleave="band")},
    **{"packbits": dict(compress="packbits", nodata=0), "zstd": dict(compress="zstd"), "lerc": dict(compress="lerc")},
    **{"1 bit": dict(nbits=1), "4 bits": dict(nbits=4, compress="deflate"), "lzma": dict(compress="lzma")},
    **{"int8": dict(dtype="int8"), "complex": dict(dtype="complex_int16"), "webp": dict(compress="webp")},
    **{"float": dict(dtype="float32", compress="deflate", predictor=3), "int64": dict(dtype="int64")},
    **{"mask": dict(mask=True), "overviews": dict(overviews=True, tiled=True), "alpha": dict(alpha=True)},
}


@functools.cache
def written(name):
    """Return a GeoTIFF by GDAL; an empty file if it was built without that compression."""
    profile = dict(blockxsize=16, blockysize=16) | PROFILES[name] if "tiled" in PROFILES[name] else PROFILES[name]
    profile = dict(profile)
    mask, overviews, alpha = (profile.pop(key, False) for key in ("mask", "overviews", "alpha"))
    dtype, bands = profile.pop("dtype", "uint8"), 4 if alpha else 3
    pixels = np.random.default_rng(0).integers(1, 100, (bands, SIZE, SIZE))
    grid = dict(crs="EPSG:32618", transform=Affine(10, 0, 5e5, 0, -10, 5e6), width=SIZE, height=SIZE, count=bands)
    try:
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK="YES"), MemoryFile() as memory:
            with memory.open(driver="GTiff", dtype=dtype, **grid, **profile) as file:
                file.write(pixels.astype("int16" if dtype == "complex_int16" else dtype))
                if mask:
                    file.write_mask(pixels[0] > 20)
                if overviews:
                    file.build_overviews([2, 4])
            return memory.read()
    except rasterio.errors.RasterioError:
        return b""


def cut(name):
    """Cut a file short: in its header, its directories, which GDAL puts first, and its pixels."""
    whole = written(name)
    for place in sorted({2, 8, 9, 30, 250, 400, *(len(whole) * part // 5 for part in range(1, 5)), len(whole) - 1}):
        yield f"{name} cut at {place}", whole[:place]


def flipped(name):
    """Change some bytes of the directories, which GDAL puts first, and of the pixels."""
    whole, draw = written(name), random.Random(f"{SEED} {name}")
    for number in range(12 if whole else 0):
        copy = bytearray(whole)
        for _ in range(draw.choice((1, 1, 2, 8))):
            end = min(600, len(copy)) if number < 8 else len(copy)
            copy[draw.randrange(4, end)] = draw.choice((0, 1, 255, draw.randrange(256)))
        yield f"{name} changed, {number}", bytes(copy)


FAMILIES = {
    **{family.__name__: family for family in (sizes, types, blocks, directories, descriptions)},
    **{f"cut {name}": functools.partial(cut, name) for name in PROFILES},
    **{f"flipped {name}": functools.partial(flipped, name) for name in PROFILES},
}


# The process that clears them.


def clear_all(folder):
    """Clear what is waiting in a folder, and print a line of JSON for each."""
    import resource

    from clearing import clear_scene

    from declouds.errors import UserError

    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + ADDRESSES, taken + ADDRESSES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_SIZE, FILE_SIZE))
    for path in sorted(Path(folder).glob("*.waiting")):
        place = path.with_suffix("")
        place.mkdir()
        source = path.rename(place / "i.tif")
        print(json.dumps(dict(begun=place.name)), flush=True)
        signal.alarm(SECONDS)
        model, before = model_for(source), peak_memory()
        try:
            clear_scene(lambda cloudy, noise: cloudy, source, place / "o.tif", **model)
            outcome = "cleared"
        except UserError as error:
            outcome = f"UserError: {error}"
        except BaseException as error:
            outcome = "".join(traceback.format_exception(error)).strip()
        signal.alarm(0)
        if peak_memory() > before + MEMORY:
            outcome = f"took {(peak_memory() - before) >> 20} MiB"
        left = sorted(found.name for found in place.iterdir() if found.name != "i.tif")
        print(json.dumps(dict(name=place.name, outcome=outcome, left=left)), flush=True)


def model_for(path):
    """Return what the file's own bands and type ask for, so that these are never what is wrong."""
    from declouds.value_range import ValueRange

    try:
        with rasterio.open(path) as file:
            bands, dtype = min(file.count, 4), np.dtype(file.dtypes[0])
    except Exception:
        bands, dtype = 1, np.dtype("uint8")
    limits = np.iinfo(dtype) if dtype.kind in "iu" else SimpleNamespace(min=0, max=100)
    return dict(bands=bands, in_bands=bands, value_range=ValueRange(max(limits.min, -(10**9)), min(limits.max, 10**9)))


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Family -> name -> (what came out, files that were left)."""
    folder = tmp_path_factory.mktemp("fuzz")
    names = {}
    for family, files in FAMILIES.items():
        for name, content in files():
            number = f"{len(names):05d}"
            names[number] = family, name
            (folder / f"{number}.waiting").write_bytes(content)
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_scene_fuzz as fuzz; "
    command = [sys.executable, "-c", code + f"fuzz.clear_all({str(folder)!r})"]
    found = {family: {} for family in FAMILIES}
    while any(folder.glob("*.waiting")):
        done = subprocess.run(command, capture_output=True, text=True, errors="replace")
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        assert lines, done.stderr
        for line in lines:
            if "outcome" in line:
                family, name = names[line["name"]]
                found[family][name] = line["outcome"], line["left"]
        if "begun" in lines[-1]:
            family, name = names[lines[-1]["begun"]]
            how = f"took more than {SECONDS} s" if done.returncode == -signal.SIGALRM else f"died: {done.returncode}"
            found[family][name] = how, []
    return found


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="limits the memory as Linux does")
@pytest.mark.parametrize("family", FAMILIES)
def test_every_file_ends_well(outcomes, family):
    faults = {}
    for name, (outcome, left) in outcomes[family].items():
        if outcome == "cleared":
            good = left == ["o.json", "o.tif"]
        else:
            good = outcome.startswith("UserError: ") and "\n" not in outcome and len(outcome) < LONGEST and not left
        if not good:
            faults[name] = outcome, left
    told = [f"{name}: {outcome.splitlines()[-1][:300]}, and left {left}" for name, (outcome, left) in faults.items()]
    assert not faults, "\n".join(told)


def test_the_files_are_not_all_refused(outcomes):
    """What is meant to lead deep does so."""
    cleared = {name for files in outcomes.values() for name, (outcome, _) in files.items() if outcome == "cleared"}
    assert {
        "8 bits of kind 1",
        "16 bits of kind 2",
        "loop of one",
        "huge overview",
        "BigTIFF",
        "nodata b'nan'",
    } <= cleared
    assert {name.split(" changed")[0] for name in cleared} > {"raw", "deflate", "big", "int64", "mask", "alpha"}


@pytest.mark.parametrize("name", ["strip at 0", "tiles at 0", "fewer offsets than tiles", "tiles of 0 bytes"])
def test_blocks_without_a_place_are_told(outcomes, name):
    """GDAL reads zeros there, or the file's own header."""
    assert "lacks pixels" in outcomes["blocks"][name][0]
