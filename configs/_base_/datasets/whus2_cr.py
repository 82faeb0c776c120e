# 13 bands on the grid of 10 m, 384x384. The published split has a validation part.
datamodule = dict(type="WHUS2CR", root="data/WHUS2-CRv")
