"""Runs `python -m pipelines sweep` in this process. Knows the command line, not what it does."""

import argparse
import json
from pathlib import Path
from typing import Any

from tests.fakes.completions import Completions

from pipelines.sweep import command

QUICK = ("--concurrency", "1,3", "--prompt-tokens", "24", "--output-tokens", "8", "--requests", "12", "--warmup", "1", "--no-plots")


def sweep(out: Path, *options: str) -> dict[str, Any]:
    """What `sweep.json` says after; raises `SweepFailed`, and `SystemExit` for what argparse refuses."""
    parser = argparse.ArgumentParser()
    command.add_options(parser)
    command.run(parser.parse_args(["--out", str(out), *options]))
    return read(out)


def read(out: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((out / "sweep.json").read_text())
    return document


def named(server: Completions, size: int, **more: object) -> str:
    """An `--endpoint` for it."""
    row = {"url": server.url, "model": server.model, "tensor_parallel": size, **more}
    return "--endpoint=" + ",".join(f"{key}={value}" for key, value in row.items())
