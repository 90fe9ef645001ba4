"""`make kind-test` cleans up whatever happened, keeps the logs of a failure, and says what is missing.

kind and docker are stand-ins that write down how they were called: no machine of ours runs them.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = "tests/e2e/cluster/kind.sh"
IMAGES = [f"warmstart/{service}:7" for service in ("gateway", "encoder", "expander", "retriever", "pipelines")]
STAND_IN = '#!/bin/bash\necho "$(basename "$0") $*" >>"$CALLS"\n[[ " $FAILING " != *" $(basename "$0"):$1 "* ]]\n'


@dataclass
class Ended:
    """How the script ended, and what it called."""

    status: int
    stderr: str
    calls: list[str]
    folder: Path

    def called(self, start: str) -> list[str]:
        return [call for call in self.calls if call.startswith(start)]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The script in a checkout of its own, and stand-ins for everything it starts."""
    for name in ("kind.sh", "kind.yaml"):
        target = tmp_path / "tests/e2e/cluster" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "tests/e2e/cluster" / name, target)
    (tmp_path / "bin").mkdir()
    for tool in ("docker", "kind", "kubectl", "python"):
        (tmp_path / "bin" / tool).write_text(STAND_IN)
        (tmp_path / "bin" / tool).chmod(0o755)
    return tmp_path


def run(checkout: Path, failing: str = "", **environment: str) -> Ended:
    """Runs the script; the calls named in `failing` (`tool:first-argument`) end with status 1."""
    calls = checkout / "calls"
    path = f"{checkout / 'bin'}:{os.environ['PATH']}"
    given = {"PATH": path, "CALLS": str(calls), "FAILING": failing, "IMAGE_TAG": "7", "PYTHON": str(checkout / "bin" / "python")}
    command = ["bash", str(checkout / SCRIPT), "-k", "some"]
    ended = subprocess.run(command, env=os.environ | given | environment, capture_output=True, text=True, timeout=60, check=False)
    return Ended(ended.returncode, ended.stderr, calls.read_text().splitlines() if calls.exists() else [], checkout)


def test_the_images_are_loaded_the_tests_run_and_the_cluster_goes(checkout: Path) -> None:
    ended = run(checkout)
    assert ended.status == 0, ended.stderr
    assert ended.called("docker save")[0].split()[4:] == IMAGES
    assert len(ended.called("kind create cluster")) == len(ended.called("kind load image-archive")) == 1
    (tests,) = ended.called("python -m pytest tests/e2e/cluster")
    assert tests.endswith("--image-prefix warmstart --image-tag 7 -k some")
    assert ended.calls[-1].startswith("kind delete cluster --name warmstart-")
    assert not ended.called("kind export")


@pytest.mark.parametrize("failing", ["python:-m", "kind:create", "kind:load", "docker:save"])
def test_a_failure_keeps_the_logs_removes_the_cluster_and_is_told(checkout: Path, failing: str) -> None:
    ended = run(checkout, failing)
    assert ended.status == 1
    assert [call.split()[1] for call in ended.called("kind")][-2:] == ["export", "delete"]
    assert "the logs of the nodes are in build/kind" in ended.stderr


def test_a_cluster_that_can_not_be_removed_does_not_hide_the_outcome(checkout: Path) -> None:
    assert run(checkout, "kind:delete").status == 0
    assert run(checkout, "kind:delete python:-m kind:export").status == 1


def test_metrics_are_installed_where_a_manifest_is_named(checkout: Path) -> None:
    assert not run(checkout).called("kubectl apply")
    assert run(checkout, METRICS_SERVER="metrics.yaml").called("kubectl apply --filename metrics.yaml")


@pytest.mark.parametrize(("failing", "said"), [("docker:info", "docker does not answer"), ("docker:image", "make images")])
def test_what_is_missing_is_said_before_a_cluster_is_made(checkout: Path, failing: str, said: str) -> None:
    ended = run(checkout, failing)
    assert (ended.status, ended.called("kind")) == (1, [])
    assert said in ended.stderr


def test_a_missing_tool_is_named(checkout: Path) -> None:
    (checkout / "bin" / "kind").unlink()
    for tool in ("bash", "dirname", "basename"):
        (checkout / "bin" / tool).symlink_to(str(shutil.which(tool)))
    ended = run(checkout, PATH=str(checkout / "bin"))
    assert ended.status == 1
    assert "kind is not installed" in ended.stderr
