"""Pack the plugin as QGIS installs it: the same files give the same bytes. Needs Python alone.

Usage: python qgis/package.py dist/declouds_processing.zip
"""

import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLUGIN = ROOT / "qgis" / "declouds_processing"
PACKED = (".py", ".txt", ".svg")
FIRST_DAY = (1980, 1, 1, 0, 0, 0)  # of the format


def pack(archive: Path) -> None:
    """Write the archive: the folder of the plugin, and the licence in it."""
    files = {f"{PLUGIN.name}/{path.name}": path for path in PLUGIN.iterdir() if path.suffix in PACKED}
    files[f"{PLUGIN.name}/LICENSE"] = ROOT / "LICENSE"
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w") as packed:
        for name, path in sorted(files.items()):
            entry = zipfile.ZipInfo(name, FIRST_DAY)
            entry.create_system, entry.external_attr = 3, 0o100644 << 16  # a plain file of Unix, wherever it is packed
            packed.writestr(entry, path.read_text(encoding="utf-8"))  # stored: compressed bytes depend on the library


if __name__ == "__main__":
    pack(Path(sys.argv[1]))
    print(sys.argv[1])
