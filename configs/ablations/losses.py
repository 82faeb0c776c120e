# At which times is a bridge best trained, and with which weights?
about = "At which times is a bridge best trained, and with which weights?"
base = "../small/bridge_rice1.py"
axes = dict(
    diffusion_loss={
        "uniform": dict(type="UniformLoss"),
        "absolute": dict(type="AbsoluteLoss"),
        "log-normal": dict(type="LogNormal", mean=-2.0, std=1.2),
        "min-SNR": dict(type="MinSNR"),
    }
)
baseline = "uniform"
