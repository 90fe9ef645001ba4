"""The pods that the tests run inside the cluster: one-shot clients, a listener, and the load. Knows nothing of the chart's objects.

The load runs inside, not through `kubectl port-forward`: a forward picks one pod of the Service when it starts and breaks when that pod
ends, so it would report the very restart that is tested as a failure, and never meet the Service's endpoints.
"""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.cluster.kubectl import Kubectl, Object, until

SCRIPTS = "warmstart-tests"
CLIENT = {"warmstart-tests": "client"}
HERE = Path(__file__).parent
SOURCES = (HERE / "inside" / "client.py", HERE / "inside" / "report.py", HERE.parents[1] / "load.py")
LISTENING_PORT = 8080


def scripts() -> Object:
    """The ConfigMap with everything the pods run."""
    data = {source.name: source.read_text() for source in SOURCES}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": SCRIPTS}, "data": data}


def pod(name: str, image: str, command: list[str], labels: dict[str, str] | None = None) -> Object:
    """A pod that passes the Pod Security Standard `restricted`, ends after 20 minutes at most, and finds the scripts in /tests."""
    container = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "env": [{"name": "PYTHONDONTWRITEBYTECODE", "value": "1"}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True},
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "volumeMounts": [{"name": "scripts", "mountPath": "/tests", "readOnly": True}],
    }
    user = {"runAsNonRoot": True, "runAsUser": 10001, "runAsGroup": 10001, "seccompProfile": {"type": "RuntimeDefault"}}
    spec = {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": 1200,
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": user,
        "containers": [container],
        "volumes": [{"name": "scripts", "configMap": {"name": SCRIPTS}}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels or {}}, "spec": spec}


@dataclass(frozen=True)
class Report:
    """What the load had met when it was read, since its start: how many answers, the first 20 failures, the first 20 with a 5xx status."""

    answered: int
    degraded: int
    failures: list[str]
    server_errors: list[str]


class RunningLoad:
    """A pod that asks for recommendations until it is deleted."""

    def __init__(self, kubectl: Kubectl, name: str) -> None:
        self._kubectl, self._name = kubectl, name

    def has_reported(self) -> bool:
        return bool(self._lines())

    def _lines(self) -> list[str]:
        return [line for line in self._kubectl.logs(self._name) if line.startswith("{")]

    def report(self) -> Report:
        """The newest report; raises `IndexError` before the first."""
        return Report(**json.loads(self._lines()[-1]))

    def wait_answered(self, more: int) -> None:
        """Returns once `more` further requests were answered."""
        aim = self.report().answered + more
        until(f"{more} more answers", lambda: self.report().answered >= aim)

    def outcome(self) -> Report:
        """What became of every request that had been sent when this was called: read when their time limit is over."""
        seen = len(self._lines())
        until("ten more reports of the load", lambda: len(self._lines()) >= seen + 10, timeout_s=60)
        return self.report()


@dataclass(frozen=True)
class Inside:
    """Runs pods of the pipelines image in one namespace that has the scripts."""

    kubectl: Kubectl
    image: str
    gateway_url: str = ""

    def run(self, *arguments: str, labels: dict[str, str] | None = None, timeout_s: float = 180) -> Any:
        """What `client.py` printed, run once in a pod of its own; raises `AssertionError` with its log when it failed."""
        name = f"client-{secrets.token_hex(3)}"
        self.kubectl.create(pod(name, self.image, ["python", "/tests/client.py", *arguments], labels))
        try:
            phase = until(f"{name} has ended", lambda: self._ended(name), timeout_s)
            lines = self.kubectl.logs(name)
            assert phase == "Succeeded", "\n".join(lines[-20:])
            return json.loads(lines[-1])
        finally:
            self.kubectl.delete("pod", name, wait=False)

    def _ended(self, name: str) -> str | None:
        phase = str(self.kubectl.get("pod", name)["status"].get("phase"))
        return phase if phase in ("Succeeded", "Failed") else None

    def send(self, *requests: dict[str, Any]) -> list[dict[str, Any]]:
        """Status and text of each request `{method, path, json | text, type}` to the gateway."""
        return list(self.run("send", self.gateway_url, json.dumps(requests), labels=CLIENT))

    def catalogue(self) -> dict[str, Any]:
        """Number and digest of all items."""
        return dict(self.run("catalogue", self.gateway_url, labels=CLIENT))

    def reach(self, *addresses: str) -> dict[str, str]:
        """What became of a TCP connection to each address, from a pod without labels."""
        return dict(self.run("reach", *addresses))

    @contextmanager
    def load(self) -> Iterator[RunningLoad]:
        """A load of recommendations on the gateway; the first answers have come when it is entered."""
        name = f"load-{secrets.token_hex(3)}"
        self.kubectl.create(pod(name, self.image, ["python", "/tests/report.py", self.gateway_url], CLIENT))
        try:
            running = RunningLoad(self.kubectl, name)
            until("the load reports", running.has_reported)
            running.wait_answered(20)
            yield running
        finally:
            self.kubectl.delete("pod", name)

    @contextmanager
    def listener(self) -> Iterator[str]:
        """The address of a pod that accepts TCP connections."""
        name = f"listener-{secrets.token_hex(3)}"
        command = ["python", "-m", "http.server", str(LISTENING_PORT)]
        self.kubectl.create(pod(name, self.image, command, {"warmstart-tests": "listener"}))
        try:
            yield f"{until('the listener has an address', lambda: self.kubectl.get('pod', name)['status'].get('podIP'))}:{LISTENING_PORT}"
        finally:
            self.kubectl.delete("pod", name)
