"""python -m art_snn: the same as the command art-snn."""

import sys

from art_snn.app.cli import run_command as main

if __name__ == "__main__":
    sys.exit(main())
