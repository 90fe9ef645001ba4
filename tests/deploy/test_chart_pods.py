"""Claims on every pod of every profile: who it runs as, what it may, how it starts and ends, what it asks of a node."""

import re

import pytest
from tests.deploy.rendering import (
    ANSWERS,
    CASES,
    EVERYTHING,
    Object,
    container,
    merged,
    objects,
    of_kind,
    pods,
    render,
    service_of,
    values_of,
)

from expander.runtimes.__main__ import parser
from expander.runtimes.pulse import METRICS_S

RUNS_AS_ROOT = {
    ("eks-trn1", "llm"),
    ("eks-trn1", "model-compile"),
    ("eks-trn2", "llm"),
    ("eks-trn2", "model-compile"),
    ("everything", "llm"),
}
RUNS_AS_ROOT |= {("everything", "model-compile")}
"""The AWS containers with the Neuron stack are made for root."""
TRN1_SMALL, TRN1_LARGE = (7.91, 29_317), (127.0, 481_894)
"""Allocatable CPUs and MiB of trn1.2xlarge and trn1.32xlarge (Karpenter's instance type tables; the CPUs of the larger less one)."""
MIB = {"Ki": 1 / 1024, "Mi": 1, "Gi": 1024, "Ti": 1024**2}
ALL = [(case, component, pod) for case in CASES for component, pod in pods(objects(case))]
every_pod = pytest.mark.parametrize(("case", "component", "pod"), ALL, ids=[f"{case}-{component}" for case, component, _ in ALL])
SERVING = [(case, component, pod) for case, component, pod in ALL if "readinessProbe" in container(pod)]
every_server = pytest.mark.parametrize(("case", "component", "pod"), SERVING, ids=[f"{case}-{component}" for case, component, _ in SERVING])


def cpus(quantity: str | int) -> float:
    text = str(quantity)
    return float(text[:-1]) / 1000 if text.endswith("m") else float(text)


def mib(quantity: str) -> float:
    number, unit = re.fullmatch(r"([0-9.]+)(\w+)", quantity).groups()  # type: ignore[union-attr]
    return float(number) * MIB[unit]


@every_pod
def test_every_pod_runs_as_non_root(case: str, component: str, pod: Object) -> None:
    security = pod["spec"]["securityContext"]
    if (case, component) in RUNS_AS_ROOT:
        assert "runAsUser" not in security
    else:
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] == security["runAsGroup"] == security["fsGroup"] == 10001


@every_pod
def test_every_pod_has_a_read_only_root(case: str, component: str, pod: Object) -> None:
    assert container(pod)["securityContext"].get("readOnlyRootFilesystem", False) is ((case, component) not in RUNS_AS_ROOT)
    mounts = {mount["mountPath"] for mount in container(pod)["volumeMounts"]}
    assert "/tmp" in mounts


@every_pod
def test_every_pod_may_do_nothing_special(case: str, component: str, pod: Object) -> None:
    security = container(pod)["securityContext"]
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"]["drop"] == ["ALL"]
    assert not security["capabilities"].get("add")
    assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod["spec"])
    assert {next(key for key in volume if key != "name") for volume in pod["spec"]["volumes"]} <= {"emptyDir", "persistentVolumeClaim"}


@every_pod
def test_no_pod_holds_a_token_of_the_api_server(case: str, component: str, pod: Object) -> None:
    assert pod["spec"]["automountServiceAccountToken"] is False
    accounts = {one["metadata"]["name"]: one for one in objects(case) if one["kind"] == "ServiceAccount"}
    assert accounts[pod["spec"]["serviceAccountName"]]["automountServiceAccountToken"] is False


@every_pod
def test_no_pod_gets_variables_made_from_services(case: str, component: str, pod: Object) -> None:
    assert pod["spec"]["enableServiceLinks"] is False


@every_pod
def test_every_image_is_one_that_stays_what_it_is(case: str, component: str, pod: Object) -> None:
    image = container(pod)["image"]
    assert re.fullmatch(r"[^@\s<>]+(:[\w.-]+|@sha256:[0-9a-f]{64})", image)
    assert not image.endswith(":latest")


def test_a_digest_wins_over_the_tag() -> None:
    values = merged(values_of("everything"), {"image": {"tag": "1.2.3"}, "llm": {"image": {"digest": f"sha256:{'b' * 64}"}}})
    images = {component: container(pod)["image"] for component, pod in pods(render(values))}
    assert images["gateway"] == f"registry.example/warmstart/gateway@sha256:{'a' * 64}"
    assert images["encoder"] == "registry.example/warmstart/encoder:1.2.3"
    assert images["llm"] == images["model-compile"] == f"registry.example/warmstart/vllm-neuron@sha256:{'b' * 64}"


@every_pod
def test_every_container_says_what_it_needs_and_only_memory_is_cut_off(case: str, component: str, pod: Object) -> None:
    resources = container(pod)["resources"]
    assert cpus(resources["requests"]["cpu"]) > 0
    assert 0 < mib(resources["requests"]["memory"]) <= mib(resources["limits"]["memory"])
    assert "cpu" not in resources["limits"]


@pytest.mark.parametrize("case", ["eks-trn1", "eks-trn2"])
def test_what_shares_a_trainium_node_fits_it(case: str) -> None:
    for component, pod in pods(objects(case)):
        requests, terms = container(pod)["resources"]["requests"], pod["spec"].get("affinity", {}).get("nodeAffinity")
        types = (
            terms["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"][0]["matchExpressions"][0]["values"]
            if terms
            else []
        )
        small = "trn1.2xlarge" in types or not types
        most_cpus, most_mib = TRN1_SMALL if small else TRN1_LARGE
        assert cpus(requests["cpu"]) <= most_cpus, component
        assert mib(requests["memory"]) <= most_mib, component


@every_server
def test_the_grace_period_is_longer_than_the_drain(case: str, component: str, pod: Object) -> None:
    grace = pod["spec"]["terminationGracePeriodSeconds"]
    if component == "llm":
        assert grace > container(pod)["lifecycle"]["preStop"]["sleep"]["seconds"] + 20
        return
    told = of_kind(objects(case), "ConfigMap")[component]["data"]
    delay, timeout = (float(told[f"{service_of(component).upper()}_DRAIN_{what}_S"]) for what in ("DELAY", "TIMEOUT"))
    assert delay > 0
    assert grace >= delay + timeout + 5


@every_server
def test_started_ready_and_live_are_three_questions(case: str, component: str, pod: Object) -> None:
    probes = {name: container(pod)[f"{name}Probe"] for name in ("startup", "readiness", "liveness")}
    asked = {name: probe["httpGet"]["path"] for name, probe in probes.items() if "httpGet" in probe}
    if component == "llm":
        health = {} if "exec" in probes["liveness"] else {"liveness": "/health"}
        assert asked == {"startup": "/v1/models", "readiness": "/v1/models"} | health
    else:
        assert asked == {"startup": "/livez", "readiness": "/readyz", "liveness": "/livez"}
    assert all(probes[name]["httpGet"]["port"] == "http" for name in asked)
    assert container(pod)["ports"][0]["name"] == "http"


@pytest.mark.parametrize("case", ["eks-trn1", "eks-trn2"])
def test_a_hung_accelerator_is_found_by_asking_the_served_model_for_a_token(case: str) -> None:
    served = container(of_kind(objects(case), "Deployment")["llm"]["spec"]["template"])
    probe = served["livenessProbe"]
    python, module, name, *line = probe["exec"]["command"]
    assert (python, module, name) == ("python3", "-m", "expander.runtimes")
    asked = parser().parse_args(line)
    url = f"http://127.0.0.1:{served['ports'][0]['containerPort']}/v1"
    assert (asked.verb, asked.url, asked.model) == ("pulse", url, ANSWERS["llm.model.name"])
    assert asked.timeout_s + 2 * METRICS_S < probe["timeoutSeconds"] < probe["periodSeconds"]


@pytest.mark.parametrize("case", CASES)
def test_a_rollout_never_takes_a_pod_before_another_is_ready(case: str) -> None:
    for one in objects(case):
        if one["kind"] == "Deployment":
            assert one["spec"]["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}


def test_where_no_accelerator_is_spare_the_llm_and_nothing_else_ends_before_another_starts() -> None:
    found = of_kind(render(merged(values_of("eks-trn1"), {"llm": {"surge": False}})), "Deployment")
    surges = {component: one["spec"]["strategy"]["rollingUpdate"]["maxSurge"] for component, one in found.items()}
    assert surges == {"gateway": 1, "encoder": 1, "expander": 1, "llm": 0}
    assert found["llm"]["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 1


@pytest.mark.parametrize("case", CASES)
def test_selectors_match_the_pods_and_outlive_an_upgrade(case: str) -> None:
    for one in objects(case):
        if one["kind"] in ("Deployment", "StatefulSet"):
            selector, labels = one["spec"]["selector"]["matchLabels"], one["spec"]["template"]["metadata"]["labels"]
            assert selector.items() <= labels.items()
            assert set(selector) == {f"app.kubernetes.io/{name}" for name in ("name", "instance", "component")}
            assert "helm.sh/chart" not in labels


def test_a_changed_setting_replaces_the_pods_that_read_it_and_no_others() -> None:
    def sums(values: Object) -> dict[str, str]:
        return {name: pod["metadata"]["annotations"]["checksum/config"] for name, pod in pods(render(values)) if "configMapRef" in str(pod)}

    before, after = sums({}), sums({"services": {"encoder": {"settings": {"batch_texts": 4}}}})
    assert {name for name in before if before[name] != after[name]} == {"encoder"}


@pytest.mark.parametrize("case", CASES)
def test_whatever_has_two_pods_loses_one_at_a_time(case: str) -> None:
    found = objects(case)
    budgets, scaled = of_kind(found, "PodDisruptionBudget"), of_kind(found, "HorizontalPodAutoscaler")
    for component, one in of_kind(found, "Deployment").items():
        replicas = (
            one["spec"]["replicas"] if "replicas" in one["spec"] else scaled[component]["spec"]["minReplicas"] if component in scaled else 1
        )
        on_one_node = "podAffinity" in one["spec"]["template"]["spec"].get("affinity", {})
        assert (component in budgets) is (replicas >= 2 and not on_one_node)
    for component, budget in budgets.items():
        assert budget["spec"]["maxUnavailable"] == 1
        assert budget["spec"]["selector"] == of_kind(found, "Deployment")[component]["spec"]["selector"]
    assert "retriever" not in budgets


def test_gateways_on_one_sqlite_file_are_on_one_node_and_those_on_postgresql_are_spread() -> None:
    alone, shared = (dict(pods(render(values)))["gateway"]["spec"] for values in ({}, {"postgresql": {"existingSecret": "p"}}))
    (term,) = alone["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term["topologyKey"] == "kubernetes.io/hostname"
    assert "topologySpreadConstraints" not in alone
    assert any(volume.get("persistentVolumeClaim") for volume in alone["volumes"])
    assert "affinity" not in shared
    assert {spread["topologyKey"] for spread in shared["topologySpreadConstraints"]} == {
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
    }
    assert not any(volume.get("persistentVolumeClaim") for volume in shared["volumes"])


@pytest.mark.parametrize("case", CASES)
def test_artefacts_are_written_by_jobs_only(case: str) -> None:
    for component, pod in pods(objects(case)):
        for mount in container(pod)["volumeMounts"]:
            if mount["mountPath"] == "/artefacts":
                assert mount.get("readOnly", False) is (component in ("expander", "encoder", "llm")), component


@pytest.mark.parametrize("case", CASES)
def test_every_claim_that_is_mounted_exists_and_outlives_the_release(case: str) -> None:
    claims = {one["metadata"]["name"]: one for one in objects(case) if one["kind"] == "PersistentVolumeClaim"}
    mounted = {
        volume["persistentVolumeClaim"]["claimName"]
        for _, pod in pods(objects(case))
        for volume in pod["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    }
    assert mounted == set(claims)
    assert all(claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep" for claim in claims.values())


def test_annotations_for_roles_and_pods_arrive() -> None:
    found = render(merged(values_of("eks-trn1"), EVERYTHING))
    assert of_kind(found, "ServiceAccount")["gateway"]["metadata"]["annotations"] == {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/r"}
    assert dict(pods(found))["gateway"]["metadata"]["annotations"]["a/b"] == "c"
    assert dict(pods(found))["gateway"]["spec"]["imagePullSecrets"] == [{"name": "registry"}]
