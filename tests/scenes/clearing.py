"""What the tests of scenes clear with: any callable, in one pass."""

from declouds.scenes import clear as scene
from declouds.scenes.options import SceneOptions
from declouds.scenes.sampling.passes import Pass, clear_name, noise_of


def remover(predict, *, bands, in_bands, value_range, band_names=()):
    """Return a remover that predicts each window by itself."""
    step = Pass("windows", clear_name(0), bands, predict, (noise_of(0),))
    return scene.Remover([step], bands, in_bands, value_range, band_names)


def clear_scene(predict, source, output, *, bands, in_bands, value_range, band_names=(), progress=None, **options):
    """Clear a scene by `predict(cloudy, noise)`."""
    chosen = remover(predict, bands=bands, in_bands=in_bands, value_range=value_range, band_names=band_names)
    return scene.clear_scene(chosen, source, output, SceneOptions(**options), progress=progress)
