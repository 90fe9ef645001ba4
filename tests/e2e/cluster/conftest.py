"""The options and fixtures that the cluster tests share. Knows nothing of kind or of a registry.

These tests run only when this folder is named:

    python -m pytest tests/e2e/cluster --kubeconfig FILE --image-prefix PREFIX --image-tag TAG

The images `<PREFIX>/<service>:<TAG>` must be on the nodes already. Without the first option KUBECONFIG names the file.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.cluster.installed import Cluster, Installed
from tests.e2e.cluster.kubectl import Kubectl, KubectlFailed, Object
from tests.e2e.cluster.pods import Inside
from tests.e2e.cluster.release import Release, dev_values
from tests.e2e.cluster.workloads import Workloads

HERE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kubeconfig", default=os.environ.get("KUBECONFIG", ""), help="for the cluster tests; default: KUBECONFIG")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Ignores this folder unless it, or something in it, was named on the command line."""
    named = [(config.invocation_params.dir / argument.split("::")[0]).resolve() for argument in config.invocation_params.args]
    if any(path == HERE or HERE in path.parents for path in named):
        return None
    return collection_path == HERE or HERE in collection_path.parents


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Cluster:
    kubeconfig, prefix, tag = (request.config.getoption(option) for option in ("--kubeconfig", "--image-prefix", "--image-tag"))
    if not kubeconfig:
        pytest.exit("The cluster tests need --kubeconfig (or KUBECONFIG); --image-prefix and --image-tag say which images.", returncode=4)
    return Cluster(Path(kubeconfig), prefix.rstrip("/"), tag)


def tell(kubectl: Kubectl) -> None:
    """What there is in the namespace and what happened, for whoever reads why a release did not get ready."""
    for what in (["get", "pods,jobs,persistentvolumeclaims", "--output=wide"], ["get", "events", "--sort-by=.lastTimestamp"]):
        try:
            print(kubectl.call(*what), file=sys.stderr)
        except KubectlFailed as error:
            print(error, file=sys.stderr)


@pytest.fixture(scope="session")
def installed(cluster: Cluster) -> Iterator[Installed]:
    """The `dev` profile in a namespace of its own, ready and filled with the sample; uninstalled after the tests."""
    with cluster.namespace("warmstart") as kubectl:
        release, values = Release(cluster.kubeconfig, kubectl.namespace), dev_values(cluster.registry, cluster.tag)
        workloads = Workloads(kubectl, release.name)
        try:
            release.install(values)
            workloads.wait_settled()
            workloads.wait_jobs()
        except BaseException:
            tell(kubectl)
            raise
        url = f"http://{release.name}-gateway:8000"
        yield Installed(release, values, kubectl, workloads, Inside(kubectl, cluster.pipelines_image, url))
        release.uninstall()


@pytest.fixture
def settled(installed: Installed) -> Iterator[Installed]:
    """The release with every pod ready, before the test and after it: what one test breaks must not fail the next."""
    installed.workloads.wait_settled()
    yield installed
    installed.workloads.wait_settled()


@pytest.fixture(scope="session")
def stray(cluster: Cluster) -> Iterator[Inside]:
    """A namespace that has nothing to do with the release."""
    with cluster.namespace("stray") as kubectl:
        yield Inside(kubectl, cluster.pipelines_image)


@pytest.fixture(scope="session")
def schedulable_nodes(cluster: Cluster) -> list[Object]:
    """The nodes that take pods: not cordoned, without a NoSchedule or NoExecute taint."""
    nodes = Kubectl(cluster.kubeconfig, "default").find("nodes")
    open_nodes = [node for node in nodes if not node["spec"].get("unschedulable")]
    return [node for node in open_nodes if all(taint["effect"] == "PreferNoSchedule" for taint in node["spec"].get("taints", []))]
