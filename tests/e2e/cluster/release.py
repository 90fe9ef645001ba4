"""One release of the chart in one namespace, by the real Helm. Knows where chart and profiles lie, not what they render."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import helm_python
import yaml

ROOT = Path(__file__).parents[3]
CHART = ROOT / "deploy" / "helm" / "warmstart"
Values = dict[str, Any]


def merged(*layers: Values) -> Values:
    """The layers as `helm -f` merges them: later ones win, objects are merged, lists are replaced."""
    result: Values = {}
    for layer in layers:
        for key, value in layer.items():
            both = isinstance(value, dict) and isinstance(result.get(key), dict)
            result[key] = merged(result[key], value) if both else value
    return result


def dev_values(registry: str, tag: str) -> Values:
    """The `dev` profile with the images under test, and what the tests need on top (`values.yaml` beside this file)."""
    profile = yaml.safe_load((CHART / "profiles" / "dev.yaml").read_text())
    needed = yaml.safe_load((Path(__file__).parent / "values.yaml").read_text())
    return merged(profile, needed, {"image": {"registry": registry, "tag": tag, "pullPolicy": "IfNotPresent"}})


@dataclass(frozen=True)
class Release:
    """A release named `name`; each call waits until its objects are ready and raises `helm_python.HelmError` when they do not get so."""

    kubeconfig: Path
    namespace: str
    name: str = "warmstart"
    timeout_s: int = 600

    def _connected(self) -> helm_python.Config:
        return helm_python.Config(kubeconfig_path=self.kubeconfig, namespace=self.namespace)

    def install(self, values: Values) -> None:
        with self._connected() as helm:
            helm.install(CHART, self.name, values, namespace=self.namespace, wait="watcher", timeout=self.timeout_s)

    def upgrade(self, values: Values) -> None:
        with self._connected() as helm:
            helm.upgrade(CHART, self.name, values, namespace=self.namespace, wait="watcher", timeout=self.timeout_s)

    def rollback(self) -> None:
        """Back to the revision before."""
        with self._connected() as helm:
            helm.rollback(self.name, wait="watcher", timeout=self.timeout_s)

    def test(self) -> str:
        """Runs `helm test`; the logs of its pods. Raises `helm_python.HelmReleaseError` when one fails."""
        with self._connected() as helm:
            return str(helm.test(self.name, timeout=self.timeout_s, logs=True)["logs"])

    def uninstall(self) -> None:
        with self._connected() as helm:
            helm.uninstall(self.name, ignore_not_found=True, timeout=self.timeout_s)
