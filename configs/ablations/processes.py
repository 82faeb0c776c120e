# Which process, from which end, in how many steps? The denoiser is trained for each process and end, not for the steps.
about = "Which process, from which end, in how many steps?"
base = "../small/bridge_rice1.py"
_processes = {
    "straight": dict(type="StraightPath", noise=0.1),
    "brownian": dict(type="BrownianBridge", noise=0.2),
    "ir-sde": dict(type="IRSDE", noise=0.2),
    "mean-reverting": dict(type="MeanReverting"),
}
_spread = dict(noise=0.5, cloudy=0.4, prior=0.15)  # of the clear image, or of its difference from the end
axes = dict(
    noise_schedule={
        f"{name}-{end}": dict(**process, endpoint=end, data_std=spread)
        for name, process in _processes.items()
        for end, spread in _spread.items()
    },
    sampler={f"DDIM-{steps}": dict(type="DDIM", steps=steps) for steps in (1, 2, 5, 10)},
)
baseline = "noise_schedule=straight-prior,sampler=DDIM-5"
