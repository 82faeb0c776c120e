"""Data modules: cloudy/clear pairs for training, validation and testing, as TorchGeo data modules."""

from declouds.datamodules.cuhk_cr import CUHKCR, CUHKCRDataset
from declouds.datamodules.paired import PairedFolder, PairedFolderDataset
from declouds.datamodules.rice import RICE, RICEDataset
from declouds.datamodules.simulated import Simulated, SimulatedDataset

__all__ = [
    "CUHKCR",
    "RICE",
    "CUHKCRDataset",
    "PairedFolder",
    "PairedFolderDataset",
    "RICEDataset",
    "Simulated",
    "SimulatedDataset",
]
