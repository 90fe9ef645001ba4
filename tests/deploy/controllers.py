"""What acts on the objects of the small API server: Deployments, budgets, evictions, and pods as processes. Knows nothing of HTTP."""

import shlex
import subprocess
import sys
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.deploy.objects import Object, Objects, Refused

TICK_S = 0.05
START_S = 0.6
"""How long the pod of a Deployment takes to be ready."""
END_S = 0.3
"""How long it takes to end."""
READY = [{"type": "Ready", "status": "True"}]


class Controllers:
    """Keeps Deployments, budgets and pods going from entering the context until leaving it; leaves no process behind."""

    def __init__(self, objects: Objects, folder: Path, hosts: dict[str, str]) -> None:
        self._objects, self._folder, self._hosts = objects, folder, hosts
        self._processes: dict[tuple[str, str], subprocess.Popen[bytes]] = {}
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ending.set()
        self._thread.join()
        for process in self._processes.values():
            process.kill()
            process.wait()

    def _work(self) -> None:
        while not self._ending.wait(TICK_S):
            with self._objects.lock:
                for deployment in self._objects.select("deployments"):
                    self._keep(deployment)
                for pod in self._objects.select("pods"):
                    self._step(pod)
                for budget in self._objects.select("poddisruptionbudgets"):
                    self._count(budget)

    def _keep(self, deployment: Object) -> None:
        """Makes the pods that are missing, and says how many are there."""
        space, name = deployment["metadata"]["namespace"], deployment["metadata"]["name"]
        template, wanted = deployment["spec"]["template"], deployment["spec"]["replicas"]
        labels = ",".join(f"{key}={value}" for key, value in template["metadata"]["labels"].items())
        pods = [pod for pod in self._objects.select("pods", space, labels) if "deletionTimestamp" not in pod["metadata"]]
        for _ in range(wanted - len(pods)):
            spec = template["spec"] | {"nodeName": self._open_node()}
            owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": name, "uid": "1", "controller": True}  # drain asks for one
            named = {"name": f"{name}-{uuid.uuid4().hex[:5]}", "ownerReferences": [owner]}
            metadata = named | {"labels": template["metadata"]["labels"]}
            self._objects.add(
                "pods", space, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "owned": time.monotonic()}
            )
        ready = sum(1 for pod in pods if pod.get("status", {}).get("conditions") == READY)
        counts = {"replicas": len(pods), "updatedReplicas": len(pods), "readyReplicas": ready, "availableReplicas": ready}
        self._objects.merge("deployments", space, name, {"status": {"observedGeneration": 1, **counts}})

    def _open_node(self) -> str:
        nodes = [node["metadata"]["name"] for node in self._objects.select("nodes") if not node["spec"].get("unschedulable")]
        return str(nodes[0]) if nodes else "nowhere"

    def _step(self, pod: Object) -> None:
        """Brings one pod on: a Deployment's by time, a bare one as a process."""
        space, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        if (told := pod.get("ending")) is not None:
            if time.monotonic() > told + END_S:
                self._objects.remove("pods", space, name)
        elif (made := pod.get("owned")) is not None:
            if time.monotonic() > made + START_S:
                self._objects.merge("pods", space, name, {"status": {"phase": "Running", "conditions": READY}})
        elif (space, name) not in self._processes:
            self._processes[space, name] = self._start(pod)
            self._objects.merge("pods", space, name, {"status": {"phase": "Running", "podIP": "127.0.0.1"}})
        elif (code := self._processes[space, name].poll()) is not None:
            self._objects.merge("pods", space, name, {"status": {"phase": "Failed" if code else "Succeeded"}})

    def _start(self, pod: Object) -> subprocess.Popen[bytes]:
        """The command of the first container, with its ConfigMap written where the mount points, and the hosts' names replaced."""
        space, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        home = self._folder / f"{space}.{name}"
        home.mkdir()
        container, (volume,) = pod["spec"]["containers"][0], pod["spec"]["volumes"]
        for file, text in self._objects.get("configmaps", space, volume["configMap"]["name"])["data"].items():
            (home / file).write_text(text)
        command = [part.replace(container["volumeMounts"][0]["mountPath"], str(home)) for part in container["command"]]
        for host, address in self._hosts.items():
            command = [part.replace(host, address) for part in command]
        command[0] = sys.executable if command[0] == "python" else shlex.quote(command[0])
        with (home / "log").open("wb") as log:
            return subprocess.Popen(command, cwd=home, stdout=log, stderr=log)

    def log(self, namespace: str, name: str) -> str:
        self._objects.get("pods", namespace, name)
        return (self._folder / f"{namespace}.{name}" / "log").read_text()

    def _count(self, budget: Object) -> None:
        """How many pods may go: those ready above what `maxUnavailable` leaves."""
        pods = self._covered(budget)
        ready = sum(1 for pod in pods if pod.get("status", {}).get("conditions") == READY and "deletionTimestamp" not in pod["metadata"])
        wanted = sum(
            one["spec"]["replicas"]
            for one in self._objects.select("deployments", budget["metadata"]["namespace"])
            if budget["spec"]["selector"]["matchLabels"].items() <= one["spec"]["template"]["metadata"]["labels"].items()
        )
        allowed = max(0, ready - (wanted - budget["spec"]["maxUnavailable"]))
        place = (budget["metadata"]["namespace"], budget["metadata"]["name"])
        self._objects.merge("poddisruptionbudgets", *place, {"status": {"disruptionsAllowed": allowed}})

    def _covered(self, budget: Object) -> list[Object]:
        labels = ",".join(f"{key}={value}" for key, value in budget["spec"]["selector"]["matchLabels"].items())
        return self._objects.select("pods", budget["metadata"]["namespace"], labels)

    def evict(self, namespace: str, name: str) -> None:
        """Ends a pod that its budgets let go; the message of the refusal is that of Kubernetes."""
        with self._objects.lock:
            pod = self._objects.get("pods", namespace, name)
            for budget in self._objects.select("poddisruptionbudgets", namespace):
                self._count(budget)
                place = (namespace, budget["metadata"]["name"])
                covered = name in {one["metadata"]["name"] for one in self._covered(budget)}
                if covered and self._objects.get("poddisruptionbudgets", *place)["status"]["disruptionsAllowed"] < 1:
                    raise Refused(429, "TooManyRequests", "Cannot evict pod as it would violate the pod's disruption budget.")
            self.end("pods", namespace, pod["metadata"]["name"])

    def end(self, resource: str, namespace: str, name: str) -> Object:
        """Deletes an object; a pod ends first, and a namespace takes all in it along."""
        with self._objects.lock:
            gone = self._objects.get(resource, namespace, name)
            if resource == "pods" and (process := self._processes.get((namespace, name))) is not None:
                process.kill()
                process.wait()
            if resource == "pods":
                ending = {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "ending": time.monotonic()}
                return self._objects.merge(resource, namespace, name, ending)
            if resource == "namespaces":
                for pod in self._objects.select("pods", name):
                    with suppress(Refused):
                        self.end("pods", name, pod["metadata"]["name"])
            self._objects.remove(resource, namespace, name)
            return gone


def deployment(name: str, labels: dict[str, str], replicas: int) -> dict[str, Any]:
    """A Deployment whose pods only pretend to run."""
    spec: Object = {"containers": [{"name": "main", "image": f"warmstart/{name}:1"}]}
    template = {"metadata": {"labels": labels}, "spec": spec}
    body = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": labels}, "spec": body}
