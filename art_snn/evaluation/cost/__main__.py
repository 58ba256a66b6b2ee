"""The other side of :func:`art_snn.evaluation.cost.process.in_fresh_process`."""

from __future__ import annotations

import json
import pickle
import sys

if __name__ == "__main__":
    call, arguments = pickle.load(sys.stdin.buffer)
    sys.stdout.write(f"\n{json.dumps(call(*arguments))}\n")
