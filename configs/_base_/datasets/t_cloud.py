# Validation looks at test images: it picks no checkpoint, it only draws curves.
datamodule = dict(type="TCloud", root="data/T-CLOUD", val="test")
