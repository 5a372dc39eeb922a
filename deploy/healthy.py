#!/usr/bin/env python3
"""Healthy is what gets on: exit code 0 when the instant named on a metrics page is fresh.

usage: fundarb-healthy URL METRIC [SECONDS]
"""

import sys
import time
import urllib.request


def main(url: str, metric: str, seconds: str = "30") -> int:
    with urllib.request.urlopen(url, timeout=4) as answer:  # noqa: S310 - the caller's own page
        lines = answer.read().decode().splitlines()
    at = [float(line.split()[1]) for line in lines if line.startswith(metric + " ")]
    return 0 if at and time.time() - at[0] < float(seconds) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
