# 512x512 pictures, experiments at 256. No split of RICE is published: make one with `declouds data split`.
datamodule = dict(type="RICE", root="data/RICE1", version=1, reduce=2, val="test")
