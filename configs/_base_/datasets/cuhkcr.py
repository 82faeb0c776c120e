# 512x512 pictures, experiments at 256. Validation looks at test images: it picks no checkpoint, it only draws curves.
datamodule = dict(type="CUHKCR", root="data/C-CUHK", cloud="thick", nir=False, reduce=2, val="test")
