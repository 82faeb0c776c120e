# Which reference? Each keeps the network and the losses of its recipe, and all get the small budget of the base.
# The denoiser is given and one for all: `declouds train configs/small/de_rice1.py --work-dir work_dirs/small_rice1`.
from mmengine.config import Config as _Config

about = "Which reference, for little work?"
base = "../small/references_rice1.py"
_names = ["amgan_cr", "cvae", "memory_net", "mpr_net", "msda", "naf_net", "naf_net_large", "spa_gan", "timm_unet"]
_folder = "{{ fileDirname }}"
_recipes = {name: _Config.fromfile(f"{_folder}/../_base_/references/{name}.py") for name in _names}
_budget = _Config.fromfile(f"{_folder}/../small/references_rice1.py").reference_stages[0]
_kept = ("losses", "discriminator", "adversarial_loss", "gradient_penalty")
axes = dict(
    reference={name: recipe.model.reference for name, recipe in _recipes.items()},
    reference_stages={
        name: [{**_budget, **{key: stage[key] for stage in recipe.reference_stages for key in _kept if key in stage}}]
        for name, recipe in _recipes.items()
    },
)
# The perceptual loss needs the weights of VGG16; where they are not at hand, this says what MSDA is without it.
axes["reference"]["msda-without-perceptual"] = axes["reference"]["msda"]
axes["reference_stages"]["msda-without-perceptual"] = [
    {**stage, "losses": [loss for loss in stage["losses"] if loss["type"] != "Perceptual"]}
    for stage in axes["reference_stages"]["msda"]
]
paired = [("reference", "reference_stages")]
baseline = "spa_gan"
variants = ["prior"]
del _recipes, _budget
