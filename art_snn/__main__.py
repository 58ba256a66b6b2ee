"""python -m art_snn: the same as the command art-snn."""

from __future__ import annotations

import sys

from art_snn.cli import main

if __name__ == "__main__":
    sys.exit(main())
