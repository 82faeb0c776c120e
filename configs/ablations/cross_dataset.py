# What is left on a data set that was not trained on? Each model is tested on thin, on thick and on simulated clouds.
about = "What is left on a data set that a model was not trained on?"
base = "../small/de_rice1.py"
_datasets = {
    "rice1": dict(type="RICE", root="data/rice1", version=1, val=None),
    "rice2": dict(type="RICE", root="data/rice2", version=2, val=None),
    "simulated": dict(type="Simulated", size=128, cloud="thin", train=80, val=4, test=16),
}
axes = dict(datamodule=_datasets, test_datamodule=_datasets)
baseline = "datamodule=rice1,test_datamodule=rice1"
variants = ["cloudy", "prior"]
