"""Runs in a pod: the load of `tests/load.py`, telling every second what became of it. Ends by itself. Knows nothing of Kubernetes.

`tests/load.py` lies beside this file there (a ConfigMap brings both).
"""

import json
import sys
import time

from load import Load  # type: ignore[import-not-found]

LIMIT_S = 900.0
TIMEOUT_S = 8.0


def main(url: str) -> None:
    ends = time.monotonic() + LIMIT_S
    with Load(url, timeout_s=TIMEOUT_S, limit_s=LIMIT_S) as load:
        while time.monotonic() < ends:
            time.sleep(1)
            failures = list(load.failures)
            errors = [line for line in failures if line.split(": ", 2)[1].startswith("5")]  # a line reads `12.3 s: 503: ...`
            told = {"answered": load.answered, "degraded": load.degraded, "failures": failures[:20], "server_errors": errors[:20]}
            print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
