"""Measure a trained model: the same as ``declouds test``."""

import sys

from declouds.cli import main

if __name__ == "__main__":
    main(["test", *sys.argv[1:]])
