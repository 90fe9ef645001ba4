"""One namespace of a cluster through the real `kubectl`: JSON in, JSON out. Knows nothing of Warmstart or of who runs the cluster."""

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

Found = TypeVar("Found")
Object = dict[str, Any]


class KubectlFailed(Exception):
    """`kubectl` ended with another status than 0; the message is the command and what it wrote to stderr."""

    def __init__(self, command: tuple[str, ...], stderr: str) -> None:
        super().__init__(f"kubectl {' '.join(command)}: {stderr.strip()}")
        self.stderr = stderr


class NeverTrue(Exception):
    """What was waited for did not come; the message says what, for how long, and what was seen last."""


def until(what: str, check: Callable[[], Found | None], timeout_s: float = 120, pause_s: float = 1.0) -> Found:
    """The first answer of `check` that counts as true; raises `NeverTrue`. A `kubectl` that fails meanwhile counts as not yet."""
    ends, seen = time.monotonic() + timeout_s, "nothing"
    while True:
        try:
            if answer := check():
                return answer
            seen = repr(answer)
        except KubectlFailed as error:
            seen = str(error)
        if time.monotonic() > ends:
            raise NeverTrue(f"not within {timeout_s:.0f} s: {what}; seen last: {seen}")
        time.sleep(pause_s)


@dataclass(frozen=True)
class Kubectl:
    """`kubectl` bound to a kubeconfig and a namespace. Every call has a time limit; nothing is tried again."""

    kubeconfig: Path
    namespace: str

    def within(self, namespace: str) -> "Kubectl":
        """The same cluster, another namespace."""
        return Kubectl(self.kubeconfig, namespace)

    def call(self, *arguments: str, stdin: str | None = None, timeout_s: float = 60) -> str:
        """What `kubectl` wrote to stdout; raises `KubectlFailed`."""
        command = ["kubectl", f"--kubeconfig={self.kubeconfig}", f"--namespace={self.namespace}", *arguments]
        try:
            ended = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False)
        except subprocess.TimeoutExpired:
            raise KubectlFailed(arguments, f"no answer within {timeout_s:.0f} s") from None
        if ended.returncode != 0:
            raise KubectlFailed(arguments, ended.stderr)
        return ended.stdout

    def get(self, kind: str, name: str) -> Object:
        """One object; raises `KubectlFailed` when it is not there."""
        return dict(json.loads(self.call("get", kind, name, "--output=json")))

    def find(self, kind: str, selector: str = "") -> list[Object]:
        """The objects of a kind, all or those a label selector matches."""
        return list(json.loads(self.call("get", kind, f"--selector={selector}", "--output=json"))["items"])

    def create(self, *objects: Object) -> None:
        """Creates the objects, in order; the server validates strictly, so an unknown field is an error.

        One document each and no List: of a List kubectl 1.32 checks the schema itself, with the older OpenAPI document.
        """
        self.call("create", "--filename=-", stdin="\n".join(map(json.dumps, objects)))

    def delete(self, kind: str, name: str, *, grace_s: int | None = None, wait: bool = True, timeout_s: float = 180) -> None:
        """Deletes an object, gone or not; `grace_s` replaces a pod's own grace period."""
        grace = () if grace_s is None else (f"--grace-period={grace_s}",)
        options = ("--ignore-not-found", f"--wait={str(wait).lower()}", *grace)
        self.call("delete", kind, name, *options, timeout_s=timeout_s)

    def logs(self, pod: str) -> list[str]:
        """The lines a pod with one container wrote so far."""
        return self.call("logs", pod).splitlines()

    def evict(self, pod: str) -> bool:
        """Asks the Eviction API; False when a PodDisruptionBudget refuses (429), True when the pod was told to end.

        Another 429, such as a budget that is still being processed, is raised: it says nothing of the budget.
        """
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": self.namespace}}
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod}/eviction"
        try:
            self.call("create", f"--raw={path}", "--filename=-", stdin=json.dumps(body))
        except KubectlFailed as error:
            if "would violate the pod's disruption budget" in error.stderr:
                return False
            raise
        return True

    def drain(self, node: str, selector: str, timeout_s: int = 300) -> None:
        """Cordons the node and evicts the pods of this cluster that the selector matches; budgets are honoured."""
        options = ("--ignore-daemonsets", "--delete-emptydir-data", f"--pod-selector={selector}", f"--timeout={timeout_s}s")
        self.call("drain", node, *options, timeout_s=timeout_s + 30)

    def uncordon(self, node: str) -> None:
        self.call("uncordon", node)

    def serves(self, path: str) -> bool:
        """Whether the API server answers a path, such as that of an aggregated API."""
        try:
            self.call("get", f"--raw={path}")
        except KubectlFailed:
            return False
        return True
