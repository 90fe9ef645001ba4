"""Runs the pods of rendered manifests as containers of the Docker engine, the way a kubelet would read them. Knows no Warmstart.

It honours what a pod says of itself: user, read-only root, capabilities, memory, environment from literals, ConfigMaps and Secrets,
volumes, command, probes, grace. A Service becomes a network alias of the containers that it selects. What it does not have is the
rest of a cluster: no scheduler, no restarts, no network policies, no balancing.
"""

import json
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Any

import httpx2
from tests.composed import docker

from pipelines.suite import SuiteFailed

Manifest = Mapping[str, Any]
WORKLOADS = ("Deployment", "StatefulSet", "Job", "CronJob", "Pod")


class PodFailed(SuiteFailed):
    """A pod ended, or its probe did not pass in time; the message has the end of its log."""


def pod_template(workload: Manifest) -> Manifest:
    """The pod that a Deployment, StatefulSet, Job, CronJob or Pod makes."""
    if workload["kind"] == "Pod":
        return workload
    if workload["kind"] == "CronJob":
        return pod_template({"kind": "Job", **workload["spec"]["jobTemplate"]})
    template: Manifest = workload["spec"]["template"]
    return template


class Kubelet:
    """All pods share `network`; state lives in Docker volumes named after the claims, until `close`."""

    def __init__(self, manifests: Sequence[Manifest], network: str, folder: Path) -> None:
        self._manifests, self._network, self._folder = manifests, network, folder
        self._containers: list[str] = []
        self._volumes: set[str] = set()
        docker("network", "create", network)

    def close(self) -> None:
        for container in self._containers:
            subprocess.run(["docker", "rm", "-f", container], capture_output=True)
        for volume in self._volumes:
            subprocess.run(["docker", "volume", "rm", "-f", volume], capture_output=True)
        docker("network", "rm", self._network)

    def find(self, kind: str, name: str) -> Manifest:
        found = [one for one in self._manifests if one["kind"] == kind and one["metadata"]["name"] == name]
        if not found:
            raise PodFailed(f"There is no {kind} {name!r} among the rendered objects.")
        return found[0]

    def workload(self, component: str, kinds: Sequence[str] = WORKLOADS) -> Manifest:
        """The one workload with the label `app.kubernetes.io/component: component`."""
        label = "app.kubernetes.io/component"
        found = [one for one in self._manifests if one["kind"] in kinds and one["metadata"].get("labels", {}).get(label) == component]
        if len(found) != 1:
            raise PodFailed(f"{len(found)} workloads have the component {component!r}; one is needed.")
        return found[0]

    def start(self, workload: Manifest, replica: int = 0) -> "Container":
        """Starts one replica and does not wait."""
        template = pod_template(workload)
        name = f"{self._network}-{workload['metadata']['name']}-{replica}"
        (container,) = template["spec"]["containers"]
        options = [*self._identity(template["spec"], container), *self._volume_options(workload, template["spec"], container)]
        options += [f"--env={key}={value}" for key, value in self.environment(container, name).items()]
        options += [f"--network-alias={alias}" for alias in self._aliases(template, container)]
        ports = [port["containerPort"] for port in container.get("ports", ())]
        options += [f"--publish=127.0.0.1::{port}" for port in ports]
        command, arguments = container.get("command", []), container.get("args", [])
        if command:
            options.append(f"--entrypoint={command[0]}")
        docker("run", "--detach", f"--name={name}", f"--network={self._network}", *options, container["image"], *command[1:], *arguments)
        self._containers.append(name)
        return Container(name, container, template["spec"].get("terminationGracePeriodSeconds", 30))

    def complete(self, workload: Manifest, timeout_s: float = 300) -> str:
        """Runs a Job, a CronJob's job or a test pod to its end; its log. Raises `PodFailed` when it fails."""
        running = self.start(workload)
        ends = time.monotonic() + timeout_s
        while running.state()["Running"]:
            if time.monotonic() > ends:
                raise PodFailed(f"{running.name} did not end within {timeout_s:.0f} s:\n{running.log()}")
            time.sleep(0.2)
        if code := running.state()["ExitCode"]:
            raise PodFailed(f"{running.name} ended with status {code}:\n{running.log()}")
        log = running.log()
        docker("rm", running.name)
        return log

    def environment(self, container: Manifest, pod_name: str) -> dict[str, str]:
        """What the container finds in its environment; ConfigMaps and Secrets that are not rendered are an error."""
        found: dict[str, str] = {}
        for source in container.get("envFrom", ()):
            (kind, reference), *_ = ((kind, source[key]) for kind, key in _REFERENCES.items() if key in source)
            found |= self._data(kind, reference["name"])
        for variable in container.get("env", ()):
            found[variable["name"]] = self._value(variable, container, pod_name)
        return found

    def _value(self, variable: Manifest, container: Manifest, pod_name: str) -> str:
        if "value" in variable:
            return str(variable["value"])
        source = variable["valueFrom"]
        if "resourceFieldRef" in source:
            _, kind, resource = ("limits." + source["resourceFieldRef"]["resource"]).rsplit(".", 2)
            return str(ceil(_cpus(container["resources"][kind][resource])))
        if "fieldRef" in source:
            return {"metadata.name": pod_name, "metadata.namespace": "default", "status.podIP": "0.0.0.0"}[source["fieldRef"]["fieldPath"]]
        (kind, reference), *_ = ((kind, source[key]) for kind, key in _KEY_REFERENCES.items() if key in source)
        return self._data(kind, reference["name"])[reference["key"]]

    def _data(self, kind: str, name: str) -> dict[str, str]:
        manifest = self.find(kind, name)
        data: dict[str, str] = {**manifest.get("data", {}), **manifest.get("stringData", {})}
        return data

    def _identity(self, pod: Manifest, container: Manifest) -> Iterator[str]:
        security = {**pod.get("securityContext", {}), **container.get("securityContext", {})}
        if "runAsUser" in security:
            yield f"--user={security['runAsUser']}:{security.get('runAsGroup', security['runAsUser'])}"
        if "fsGroup" in security:
            yield f"--group-add={security['fsGroup']}"
        if security.get("readOnlyRootFilesystem"):
            yield "--read-only"
        if security.get("allowPrivilegeEscalation") is False:
            yield "--security-opt=no-new-privileges"
        yield from (f"--cap-drop={name}" for name in security.get("capabilities", {}).get("drop", ()))
        if memory := container.get("resources", {}).get("limits", {}).get("memory"):
            yield f"--memory={_bytes(memory)}"

    def _volume_options(self, workload: Manifest, pod: Manifest, container: Manifest) -> Iterator[str]:
        volumes = {volume["name"]: volume for volume in pod.get("volumes", ())}
        for claim in workload["spec"].get("volumeClaimTemplates", ()):
            own = f"{claim['metadata']['name']}-{workload['metadata']['name']}"
            volumes[claim["metadata"]["name"]] = {"persistentVolumeClaim": {"claimName": own}}
        for mount in container.get("volumeMounts", ()):
            volume, suffix = volumes[mount["name"]], ":ro" if mount.get("readOnly") else ""
            if "emptyDir" in volume:
                owner = pod.get("securityContext", {}).get("runAsUser", 0)  # runc gives a tmpfs the mode of the image's folder
                yield f"--tmpfs={mount['mountPath']}:rw,mode=1777,uid={owner}"
            elif "configMap" in volume:
                yield f"--volume={self._files(volume['configMap']['name'])}:{mount['mountPath']}:ro"
            else:
                claim, group = volume["persistentVolumeClaim"]["claimName"], pod.get("securityContext", {}).get("fsGroup")
                yield f"--volume={self._volume(claim, group, container['image'])}:{mount['mountPath']}{suffix}"

    def _volume(self, claim: str, group: int | None, image: str) -> str:
        name = f"{self._network}-{claim}"
        if name not in self._volumes:
            docker("volume", "create", name)
            self._volumes.add(name)
            if group is not None:  # a kubelet gives the volume to the pod's fsGroup
                owned = f"import os; os.chown('/volume', 0, {group}); os.chmod('/volume', 0o2775)"
                docker("run", "--rm", "--user=0", f"--volume={name}:/volume", "--entrypoint=python3", image, "-c", owned)
        return name

    def _files(self, config_map: str) -> Path:
        folder = self._folder / config_map
        folder.mkdir(exist_ok=True)
        for name, text in self._data("ConfigMap", config_map).items():
            (folder / name).write_text(text)
        return folder

    def _aliases(self, template: Manifest, container: Manifest) -> Iterator[str]:
        """Names of the Services that select the pod; a Service whose port is not the container's own can not be an alias."""
        labels = template["metadata"].get("labels", {})
        ports = {port["containerPort"] for port in container.get("ports", ())}
        for service in (one for one in self._manifests if one["kind"] == "Service"):
            selector = service["spec"].get("selector")
            if selector and selector.items() <= labels.items():
                if not {port["port"] for port in service["spec"]["ports"]} <= ports:
                    raise PodFailed(f"Service {service['metadata']['name']} has ports that its pods do not: {service['spec']['ports']}")
                yield service["metadata"]["name"]


_REFERENCES = {"ConfigMap": "configMapRef", "Secret": "secretRef"}
_KEY_REFERENCES = {"ConfigMap": "configMapKeyRef", "Secret": "secretKeyRef"}


def _cpus(quantity: str | float) -> float:
    """A Kubernetes quantity of CPU in CPUs."""
    text = str(quantity)
    return float(text.removesuffix("m")) / (1_000 if text.endswith("m") else 1)


def _bytes(quantity: str) -> int:
    """A Kubernetes quantity of memory in bytes."""
    for suffix, factor in (("Ki", 2**10), ("Mi", 2**20), ("Gi", 2**30), ("M", 10**6), ("G", 10**9)):
        if quantity.endswith(suffix):
            return int(float(quantity.removesuffix(suffix)) * factor)
    return int(quantity)


class Container:
    """A started pod of one container."""

    def __init__(self, name: str, spec: Manifest, grace_s: int) -> None:
        self.name, self._spec, self._grace_s = name, spec, grace_s

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(docker("inspect", "--format={{json .State}}", self.name))
        return state

    def log(self) -> str:
        done = subprocess.run(["docker", "logs", "--tail=60", self.name], capture_output=True, text=True)
        return done.stdout + done.stderr

    def url(self, port: int) -> str:
        """Where the host reaches a container port."""
        return "http://" + docker("port", self.name, str(port)).splitlines()[0]

    def passes(self, probe: str) -> bool:
        """Whether `startupProbe`, `readinessProbe` or `livenessProbe` passes now."""
        get = self._spec[probe]["httpGet"]
        named = {port.get("name"): port["containerPort"] for port in self._spec["ports"]}
        try:
            answer = httpx2.get(
                self.url(named.get(get["port"], get["port"])) + get["path"], timeout=self._spec[probe].get("timeoutSeconds", 1)
            )
        except httpx2.TransportError:
            return False
        return bool(200 <= answer.status_code < 400)

    def wait(self, probe: str = "readinessProbe", timeout_s: float | None = None) -> None:
        """Returns when `probe` passes; the budget is the start-up probe's own unless given. Raises `PodFailed`."""
        startup = self._spec.get("startupProbe", {})
        budget = startup.get("failureThreshold", 3) * startup.get("periodSeconds", 10) if timeout_s is None else timeout_s
        ends = time.monotonic() + budget
        while True:
            if not self.state()["Running"]:
                raise PodFailed(f"{self.name} ended:\n{self.log()}")
            if self.passes(probe):
                return
            if time.monotonic() > ends:
                raise PodFailed(f"{self.name}: {probe} did not pass within {budget:.0f} s:\n{self.log()}")
            time.sleep(0.1)

    def stop(self) -> int:
        """Ends the pod as a kubelet does, within its grace; the exit status."""
        docker("stop", f"--time={self._grace_s}", self.name)
        return int(self.state()["ExitCode"])
