"""Import official weights: `python tools/import_weights.py FILE.pth --as de -o OUT`, as `declouds weights import`."""

import sys

from declouds.cli import main

if __name__ == "__main__":
    main(["weights", "import", *sys.argv[1:]])
