"""The real promtool, for whoever tests rules or queries. Knows nothing of what it is asked."""

import os
import shutil
from pathlib import Path

import pytest

BUILT = Path(__file__).parents[2] / "build" / "promtool"


@pytest.fixture(scope="session")
def promtool() -> str:
    """Path of promtool; skips without it, and fails in CI, where it has to be."""
    found = str(BUILT) if BUILT.exists() else shutil.which("promtool")
    if found is None:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail("promtool is missing; run deploy/helm/promtool.sh")
        pytest.skip("promtool is missing; deploy/helm/promtool.sh gets it from Debian's package")
    return found
