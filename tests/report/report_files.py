"""What tests of reports write and read: the log of a stage, and the data of a page."""

import json

HOSTILE = "<img src=x onerror=document.title='taken'>"


def write_log(folder, losses, psnr=None):
    """Write the log of a stage as MMEngine does."""
    lines = [{"loss": loss, "loss_denoise": loss, "lr": 1e-3, "iter": at, "step": at} for at, loss in losses]
    if psnr is not None:
        lines.append({"official/psnr": psnr, "data_time": 0.1, "step": 0})
    (folder / "vis_data").mkdir(parents=True)
    (folder / "vis_data" / "scalars.json").write_text("".join(json.dumps(line) + "\n" for line in lines))


def read(folder):
    text = (folder / "data.js").read_text()
    return json.loads(text[text.index("{") : text.rindex(";")])
