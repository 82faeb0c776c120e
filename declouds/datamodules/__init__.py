"""Data modules: cloudy/clear pairs for training, validation and testing, as TorchGeo data modules."""
