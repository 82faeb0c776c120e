# The official network (arXiv 2401.15105): 32.14 M parameters in the denoiser, 4.66 M in the Weight Allocation network.
# A config puts it together with a reference of references/, which brings its recipe: model = _base_._de
_de = dict(
    type="DiffusionEnhancement",
    denoiser=dict(type="ConditionalUNet"),
    fusion=dict(type="WeightAllocation"),
    noise_schedule=dict(type="LinearSchedule", num_steps=1000),
    sampler=dict(type="DDIM", steps=10),
    eta=0.3,
)
reference_weights = "train"  # or the path of a weights file
