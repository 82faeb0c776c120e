"""Remove the clouds of a GeoTIFF: `python tools/predict.py IN.tif -o OUT.tif ...`; the same as `declouds predict`."""

import sys

from declouds.cli import main

if __name__ == "__main__":
    main(["predict", *sys.argv[1:]])
