datamodule = dict(type="RICE", version=1, root="data/RICE1", reduce=2)
