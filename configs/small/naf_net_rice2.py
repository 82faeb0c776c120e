# The reference of bridge_rice2 alone, trained for the minutes of both of its networks.
_base_ = ["naf_net_rice1.py"]
datamodule = dict(root="data/rice2", version=2)
