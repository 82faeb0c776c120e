"""Run an ablation: `python tools/sweep.py configs/ablations/fusions.py`; the same as `declouds sweep`."""

import sys

from declouds.cli import main

if __name__ == "__main__":
    main(["sweep", *sys.argv[1:]])
