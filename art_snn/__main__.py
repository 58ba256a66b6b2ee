"""python -m art_snn: the same as the command art-snn."""

import sys

from art_snn.progress import leave_at_once


def main() -> int:
    """Run the command that was typed; returns its exit status."""
    leave_at_once()
    from art_snn.app.cli import run_command

    return run_command()


if __name__ == "__main__":
    sys.exit(main())
