"""Kinds of clouds to lay over real clear images, drawn by their shares."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from declouds.errors import UserError
from declouds.simulation.cloud_colour import cloud_reflectance
from declouds.simulation.haze import add_haze
from declouds.simulation.thick_cloud import Body, add_thick_cloud
from declouds.simulation.thick_shapes import BRIGHTNESS, clustered_body, translucent

KINDS = ("thin", "thick", "mixed", "masks", "clear")
SHARES = {"thin": 0.5, "thick": 0.2, "mixed": 0.15, "clear": 0.15}
SHARES_WITH_MASKS = {"thin": 0.45, "thick": 0.15, "mixed": 0.1, "masks": 0.15, "clear": 0.15}
SCALES = (4.0, 160.0)  # pixels across the largest thick clouds: cumulus at 30 m to decks
TOPS, ABOVE_FREEZING = (0.5, 4.0), 7.0  # kilometres: tops of clouds of droplets, and how much higher ice is
SKYLIGHT = (0.15, 0.5)  # of full light, in shadows as reflectances and as pictures show them
TRIES = 5
THICKEST = 8.0  # the optical depth of an opaque cloud: 0.03 % of the ground shows


class Clouded(NamedTuple):
    """An image under clouds (C, H, W), the mask of clouds without shadows and the optical depth, both (H, W)."""

    cloudy: np.ndarray
    mask: np.ndarray
    thickness: np.ndarray


def draw_clouds(
    clear: np.ndarray,
    rng: np.random.Generator,
    wavelengths: Sequence[float],
    shares: Mapping[str, float] = SHARES,
    thickness: tuple[float, float] = (0.1, 2.0),
    mask_body: Body | None = None,
    brightness: tuple[float, float] = BRIGHTNESS,
    parallax: float = 0.0,
) -> Clouded:
    """Lay clouds of a random kind over a clear image.

    The kinds: 'thin' (`add_haze`), 'thick' (`add_thick_cloud`, small cumulus to decks), 'mixed' (both),
    'masks' (thick clouds of the shape ``mask_body``) and 'clear' (no cloud: the image as it is).

    Args:
        clear: the image.
        rng: where all that is random comes from.
        wavelengths: of the bands, in micrometres.
        shares: kind -> its share of the samples, in any unit.
        thickness: see `add_haze`.
        mask_body: see `random_body`; needed for the kind 'masks'.
        brightness: of thick clouds, see `translucent`.
        parallax: of thick clouds, see `add_thick_cloud`.

    Shapes: clear (C, H, W), wavelengths (C,) -> `Clouded`.
    Units: [0, 1]; the mask is True where clouds hide more than 0.4 % of the ground.

    Raises:
        UserError: see `check_shares`.
    """
    check_shares(shares, mask_body is not None)
    total = sum(shares.values())
    kind = str(rng.choice(list(shares), p=[share / total for share in shares.values()]))
    ice = rng.random() ** 2  # most clouds are of droplets
    layers = {"thin": ["thin"], "thick": ["thick"], "masks": ["thick"], "clear": []}.get(kind)
    if layers is None:  # haze lies below thick clouds, cirrus above
        layers = ["thin", "thick"] if rng.random() < 0.5 else ["thick", "thin"]
    body = mask_body if kind == "masks" else None
    cloudy, mask, depth = clear, np.zeros(clear.shape[1:], bool), np.zeros(clear.shape[1:], np.float32)
    for layer in layers:
        if layer == "thin":
            cloudy, cloud, optical = add_haze(cloudy, rng, wavelengths, thickness, ice)
        else:
            cloudy, cloud, optical = _thick(cloudy, rng, wavelengths, body, ice, brightness, parallax)
        mask, depth = mask | cloud, depth + optical
    return Clouded(np.clip(cloudy, 0, 1).astype(np.float32), mask, depth.astype(np.float32))


def _thick(
    clear: np.ndarray,
    rng: np.random.Generator,
    wavelengths: Sequence[float],
    body: Body | None,
    ice: float,
    brightness: tuple[float, float],
    parallax: float,
) -> Clouded:
    """Add thick clouds of a shape, or of a random size and cover."""
    scale, covered = float(np.exp(rng.uniform(*np.log(SCALES)))), 0.05 + 0.9 * rng.random() ** 1.5
    reach = max(2, round(0.1 * scale)), min(48, round(0.4 * scale))  # clouds are about as high as wide
    shape = body or partial(clustered_body, scale=scale, cover=covered)
    look = partial(translucent, brightness=brightness)
    height = rng.spawn(1)[0].uniform(*TOPS) + ABOVE_FREEZING * ice  # drawn apart: no other draw depends on it
    colour = cloud_reflectance(wavelengths, ice, height)
    for _ in range(TRIES):  # small clouds may all lie beside the image
        thick = add_thick_cloud(clear, rng, wavelengths, shape, look, reach, colour, SKYLIGHT, parallax)
        if thick.mask.any():
            break
    hidden = np.maximum(1 - thick.opacity, np.float32(np.exp(-THICKEST)))
    return Clouded(thick.cloudy, thick.mask, -np.log(hidden))


def check_shares(shares: Mapping[str, float], masks: bool) -> None:
    """Check the shares of the kinds of clouds.

    Raises:
        UserError: an unknown kind, a negative share, none above 0, or 'masks' without masks.
    """
    unknown = [kind for kind in shares if kind not in KINDS]
    if unknown:
        raise UserError(f"shares: unknown kind of cloud {unknown[0]!r}: known: {', '.join(KINDS)}")
    if not shares or min(shares.values()) < 0 or sum(shares.values()) <= 0:
        raise UserError(f"shares={dict(shares)}: give numbers of at least 0, one of them above 0")
    if shares.get("masks") and not masks:
        raise UserError("shares: 'masks' needs rasters of cloud masks: give `cloud_masks`, their folder")
