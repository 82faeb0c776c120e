# DE on RICE2, with the networks, data and minutes of bridge_rice2.
_base_ = ["de_naf_rice1.py"]
datamodule = dict(root="data/rice2", version=2)
