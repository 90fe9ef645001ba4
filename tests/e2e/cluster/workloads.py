"""When the workloads of a release are ready, and which pods they have now. Knows labels and status fields, not what the services do."""

from dataclasses import dataclass

from tests.e2e.cluster.kubectl import Kubectl, Object, until

SERVICES = ("gateway", "encoder", "expander", "retriever")


def is_rolled_out(workload: Object) -> bool:
    """Whether a Deployment or StatefulSet runs its newest template with all replicas ready, and nothing else."""
    wanted, status = workload["spec"].get("replicas", 1), workload.get("status", {})
    if status.get("observedGeneration", 0) < workload["metadata"]["generation"]:
        return False
    if workload["kind"] == "StatefulSet" and status.get("currentRevision") != status.get("updateRevision"):
        return False
    counts = [status.get(field, 0) for field in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")]
    return counts == [wanted] * 4


def is_ready(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    ready = any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]


def names(pods: list[Object]) -> list[str]:
    return [pod["metadata"]["name"] for pod in pods]


def has_claim(pod: Object) -> bool:
    """Whether a volume may tie the pod to a node."""
    return any("persistentVolumeClaim" in volume for volume in pod["spec"].get("volumes", []))


def labels_of(release: str, component: str = "") -> dict[str, str]:
    """What everything of a release, or of one component of it, is labelled with."""
    labels = {"app.kubernetes.io/name": "warmstart", "app.kubernetes.io/instance": release}
    return labels | ({"app.kubernetes.io/component": component} if component else {})


@dataclass(frozen=True)
class Workloads:
    """The Deployments, StatefulSets and pods of one release."""

    kubectl: Kubectl
    release: str

    def selector(self, component: str = "") -> str:
        return ",".join(f"{label}={value}" for label, value in labels_of(self.release, component).items())

    def pods(self, component: str = "") -> list[Object]:
        """The pods of a service, or of all four; pods of Jobs are left out."""
        found = self.kubectl.find("pods", self.selector(component))
        return [pod for pod in found if pod["metadata"]["labels"].get("app.kubernetes.io/component") in SERVICES]

    def workload(self, component: str) -> Object:
        """The Deployment or StatefulSet of a service."""
        return self.kubectl.find("deployments,statefulsets", self.selector(component))[0]

    def are_settled(self) -> bool:
        """Whether every workload is rolled out and has all its pods, ready and none about to end.

        The pods are counted as well: right after one is gone, the status of its workload still counts it.
        """
        found = self.kubectl.find("deployments,statefulsets", self.selector())
        workloads = [one for one in found if one["metadata"]["labels"]["app.kubernetes.io/component"] in SERVICES]
        pods, wanted = self.pods(), sum(one["spec"].get("replicas", 1) for one in workloads)
        return bool(workloads) and all(map(is_rolled_out, workloads)) and all(map(is_ready, pods)) and len(pods) == wanted

    def wait_settled(self, timeout_s: float = 600) -> None:
        """Raises `NeverTrue`, with the state of the pods that are not ready."""
        until("every workload is rolled out", self.are_settled, timeout_s)

    def wait_jobs(self, timeout_s: float = 1_200) -> None:
        """Returns when every Job of the release is complete; none counts as complete."""

        def complete() -> bool:
            jobs = self.kubectl.find("jobs", self.selector())
            return all(job.get("status", {}).get("succeeded", 0) >= 1 for job in jobs)

        until("every Job of the release is complete", complete, timeout_s, pause_s=3)
