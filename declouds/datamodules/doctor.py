"""Check a data set before training: open every file and read every pixel."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from declouds.datamodules.clear_images import looks_cloudy
from declouds.datamodules.layout import Subset
from declouds.datamodules.pair_sources import PairSources
from declouds.datamodules.pair_units import UNTOLD, Given, Reader
from declouds.datamodules.pairs import BandFile, Pair, PairHeader, check_same_bands, read_header, read_mask
from declouds.errors import UserError, some
from declouds.image_io import image_header, read_image
from declouds.units import Units
from declouds.wavelengths import wavelength_of


@dataclass
class Examined:
    """Headers and value ranges of one subset's images."""

    subset: Subset
    headers: list[PairHeader] = field(default_factory=list)
    cloudy_values: list[tuple[float, float]] = field(default_factory=list)
    clear_values: list[tuple[float, float]] = field(default_factory=list)
    mask_values: set[float] = field(default_factory=set)


@dataclass
class Diagnosis:
    """All findings: faults break training, warnings degrade it."""

    examined: list[Examined]
    faults: list[str]
    warnings: list[str]


Work = Sequence[tuple["Examined", Pair]]


def examine(
    subsets: list[Subset],
    given: Given = UNTOLD,
    track: Callable[[Work], Iterable[tuple[Examined, Pair]]] = iter,
) -> Diagnosis:
    """Read every image of the subsets; ``track`` can wrap the loop over pairs in a progress bar."""
    diagnosis = Diagnosis([Examined(subset) for subset in subsets], [], [])
    seen: dict[str, dict[str, list[str]]] = {"cloudy": defaultdict(list), "clear": defaultdict(list)}
    odd: dict[str, list[str]] = defaultdict(list)
    for subset in subsets:
        diagnosis.faults += subset.faults
    for examined, pair in track([(entry, pair) for entry in diagnosis.examined for pair in entry.subset.pairs]):
        known = examined.subset.given if given == UNTOLD else given
        try:
            header = read_header(pair)
            cloudy, clear = _read_pair(pair, known.reader(pair, header), examined, odd)
            _read_sources(pair, header, examined, odd)
        except UserError as error:
            diagnosis.faults.append(str(error))
            continue
        examined.headers.append(header)
        place = f"{examined.subset.title}/{pair.name}"
        seen["clear"][_pixel_hash(clear)].append(place)
        if pair.is_unpaired:
            if _looks_cloudy(pair, header, clear, given):
                odd["bright and white over a quarter, perhaps cloud or snow: leave out what is cloudy"].append(place)
            continue
        seen["cloudy"][_pixel_hash(cloudy)].append(place)
        if np.array_equal(cloudy, clear):
            odd["cloudy and clear image are identical"].append(place)
    diagnosis.warnings += [f"{what}: {some(places)}" for what, places in odd.items()]
    for examined in diagnosis.examined:
        _compare_headers(examined, examined.subset.given if given == UNTOLD else given, diagnosis)
    diagnosis.warnings += _duplicates(seen)
    return diagnosis


def _read_pair(
    pair: Pair, read: Reader, examined: Examined, odd: dict[str, list[str]]
) -> tuple[np.ndarray, np.ndarray]:
    """Read a pair, and record its value ranges and oddities."""
    place = f"{examined.subset.title}/{pair.name}"
    images = []
    sides = [(pair.cloudy, examined.cloudy_values), (pair.clear, examined.clear_values)]
    for files, values in sides[1:] if pair.is_unpaired else sides:
        image, valid = read(files)
        images.append(image)
        known = image[:, valid]
        values.append((float(known.min()), float(known.max())))
        if not valid.all():
            odd["nodata pixels, excluded from losses and scores"].append(f"{place} ({1 - valid.mean():.2%})")
        if known.min() == known.max():
            odd["a constant image"].append(place)
        elif len(image) == 4 and image.dtype == np.uint8 and len(files) == 1 and known[3].min() == 255:
            odd["band 4 is 255 everywhere, an alpha band: set bands=[1, 2, 3]"].append(place)
        header = image_header(files[0].path)
        if files[0].bands is None and len(header.image_bands) < header.bands:
            odd["an alpha band, which marks nodata pixels: select it with bands= if it is an image band"].append(place)
        if len(files) == 2 and not _is_grey(files[1]):
            odd["near-infrared bands that differ, of which the first is used"].append(place)
    if pair.mask is not None:
        mask = read_mask(pair.mask)
        examined.mask_values |= set(np.unique(mask).tolist())
        if not mask.any():
            odd["an empty cloud mask"].append(place)
    return images[0], images[-1]


def _read_sources(pair: Pair, header: PairHeader, examined: Examined, odd: dict[str, list[str]]) -> None:
    """Read the further sources of a pair, and count those that are missing."""
    subset = examined.subset
    PairSources.of([pair], [header], subset.sources, Units()).read(pair, header.height, header.width)
    for source, file in zip(subset.sources, pair.sources, strict=True):
        if file is None:
            odd[f"no file of source {source.name}: `drop` lets it be missing"].append(f"{subset.title}/{pair.name}")


def _looks_cloudy(pair: Pair, header: PairHeader, image: np.ndarray, given: Given) -> bool:
    """Tell whether a clear image looks cloudy; no where its value range is unknown."""
    try:
        stored = given.units([pair], [header]).stored_range
    except UserError:
        return False
    file = image_header(pair.clear[0].path)
    names = [file.names[band - 1] for band in pair.clear[0].bands or file.image_bands]
    return looks_cloudy((stored.to_model(image) + 1) / 2, [wavelength_of(name) or 0.55 for name in names])


def _is_grey(file: BandFile) -> bool:
    image = read_image(file.path)
    return bool((image == image[:1]).all())


def _compare_headers(examined: Examined, given: Given, diagnosis: Diagnosis) -> None:
    """Check that the pairs of a subset agree, as its data set would."""
    if len(examined.headers) != len(examined.subset.pairs) or not examined.headers:
        return  # already reported
    try:
        check_same_bands(examined.subset.pairs, examined.headers)
        if given.value_range is not None:
            given.units(examined.subset.pairs, examined.headers)
    except UserError as error:
        diagnosis.faults.append(str(error))
    title = examined.subset.title
    sizes = sorted({(header.height, header.width) for header in examined.headers})
    if len(sizes) > 1 and not examined.subset.pairs[0].is_unpaired:  # over these, windows of one size are clouded
        listed = some([f"{height}x{width}" for height, width in sizes])
        diagnosis.warnings.append(f"{title}: images of several sizes ({listed}): train on crops of one size")
    if given.value_range is not None:
        return
    units = sorted(set().union(*(header.units for header in examined.headers)) - {(1.0, 0.0)})
    if units:
        listed = some([f"stored * {scale:g} {'-' if offset < 0 else '+'} {abs(offset):g}" for scale, offset in units])
        diagnosis.warnings.append(
            f"{title}: the files define a scaling ({listed}), which training applies: give value_range in these "
            "units, or scale=1 to use the stored values"
        )
    dtype = examined.headers[0].dtype
    if dtype != "uint8":
        low = min(low for low, _ in examined.cloudy_values + examined.clear_values)
        high = max(high for _, high in examined.cloudy_values + examined.clear_values)
        diagnosis.warnings.append(
            f"{title}: {dtype} images have no known value range: set value_range=(low, high); "
            f"the data range from {low:g} to {high:g}"
        )


def _duplicates(seen: dict[str, dict[str, list[str]]]) -> list[str]:
    """Return warnings about images with identical pixels; leaks between parts come first."""
    across, within = [], []
    for side, places_of in seen.items():
        for places in places_of.values():
            parts = {place.rpartition("/")[0] for place in places}
            if len(parts) > 1:
                across.append(f"{side} {' = '.join(places)}")
            elif len(places) > 1:
                within.append(f"{side} {' = '.join(places)}")
    warnings = []
    if across:
        warnings.append(f"the same image in several parts, a leak of test images into training: {some(across, 10)}")
    if within:
        warnings.append(f"the same image more than once in one part: {some(within, 10)}")
    return warnings


def _pixel_hash(image: np.ndarray) -> str:
    shape = f"{image.dtype}{image.shape}".encode()
    return hashlib.sha256(shape + np.ascontiguousarray(image).tobytes()).hexdigest()
