# What do more steps buy, and for how many seconds? Nothing is trained but the model itself, once.
about = "What do more steps buy, and for how many seconds?"
base = "../small/de_rice1.py"
_ddim = {f"DDIM-{steps}": dict(type="DDIM", steps=steps) for steps in (1, 2, 5, 10, 20, 50)}
_ddpm = {f"DDPM-{steps}": dict(type="DDPM", steps=steps) for steps in (10, 50)}
axes = dict(sampler={**_ddim, **_ddpm, "Pyramid": dict(type="Pyramid")})
baseline = "DDIM-10"
