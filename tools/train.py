"""Train every stage of a config: `python tools/train.py configs/de_cuhkcr_thick.py`; the same as `declouds train`."""

import sys

from declouds.cli import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
