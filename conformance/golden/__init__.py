"""Golden vectors: cases with their exact results, written down for any language.

``select`` says which cases become vectors, ``prove`` works out correctly rounded results and
proves them, ``write`` writes the files, ``read`` reads them without trusting them, ``verify``
proves every stored number again, ``judge`` runs a framework against the files alone, ``diff``
compares two sets of files.  The files and their description are in the folder ``golden/`` of the
source tree, which an installed package carries beside itself.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent

#: Where the files may be: in an installed package, in the source tree.
PLACES = (_PACKAGE / "golden_data", _PACKAGE.parent / "golden")


def find_folder() -> Path:
    """Return the folder that holds the golden files of this installation."""
    for place in PLACES:
        if (place / "vectors" / "index.json").is_file():
            return place
    raise LookupError(f"there are no golden files in {' or '.join(map(str, PLACES))}")
