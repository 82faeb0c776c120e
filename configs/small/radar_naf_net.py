# A network that sees radar beside the image, for few pairs of your own: root/cloudy, root/label and root/s1 with VV and
# VH in dB, and root/split.json. Two minutes on one core.
_base_ = ["../_base_/runtime.py", "../_base_/stages/small.py"]
datamodule = dict(
    type="PairedFolder",
    root="data/s1s2",
    cloudy="cloudy",
    value_range=(0, 10000),
    band_names=("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12"),
    sources=dict(sar="s1"),
    val=None,
)
model = dict(
    type="OnePass",
    in_bands=15,
    reference=dict(type="RadarNAFNet", width=24, encoder_blocks=(1, 1, 2), middle_blocks=2, decoder_blocks=(1, 1, 1)),
)
ema = dict(decay=0.98)
num_workers = 0
stages = _base_._radar
