"""What the cluster tests work on: the cluster with its images, and the release installed in it. Knows nothing of pytest."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.cluster.kubectl import Kubectl
from tests.e2e.cluster.pods import Inside, scripts
from tests.e2e.cluster.release import Release, Values
from tests.e2e.cluster.workloads import Workloads


@dataclass(frozen=True)
class Cluster:
    """The cluster under test, and which images it has."""

    kubeconfig: Path
    registry: str
    tag: str

    @property
    def pipelines_image(self) -> str:
        return f"{self.registry}/pipelines:{self.tag}"

    @contextmanager
    def namespace(self, prefix: str) -> Iterator[Kubectl]:
        """A new namespace that admits only `restricted` pods and has the scripts; it is deleted with all in it."""
        name = f"{prefix}-{secrets.token_hex(3)}"
        kubectl = Kubectl(self.kubeconfig, name)
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        kubectl.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        try:
            kubectl.create(scripts())
            yield kubectl
        finally:
            kubectl.delete("namespace", name, timeout_s=300)


@dataclass(frozen=True)
class Installed:
    """The release under test and the ways to look at it."""

    release: Release
    values: Values
    kubectl: Kubectl
    workloads: Workloads
    inside: Inside
