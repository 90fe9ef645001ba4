"""Who may talk to whom: nobody, but for the arrows of docs/architecture.md."""

from typing import Any

import pytest
from tests.deploy.rendering import CASES, SERVICES, Object, objects, of_kind, pods, render, values_of

PORTS = {"gateway": 8000, "encoder": 8001, "expander": 8002, "retriever": 8003, "retriever-reader": 8003, "llm": 8000}
ARROWS = {("gateway", "encoder"), ("gateway", "expander"), ("gateway", "retriever"), ("expander", "encoder")}
ARROWS |= {("bootstrap", "gateway"), ("refresh", "gateway"), ("test", "gateway")}
SOMETIMES = {("expander", "llm"), ("gateway", "retriever-reader")}
DNS = {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}
METRICS = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}


def policies(found: tuple[Object, ...]) -> dict[str, Object]:
    return {name: policy["spec"] for name, policy in of_kind(found, "NetworkPolicy").items()}


def components(peers: list[Object]) -> set[str]:
    """The components of this release among the peers."""
    return {peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for peer in peers if "podSelector" in peer}


@pytest.mark.parametrize("case", CASES)
def test_every_pod_is_denied_by_default(case: str) -> None:
    deny = policies(objects(case))["default-deny"]
    assert deny["policyTypes"] == ["Ingress", "Egress"]
    assert not {"ingress", "egress"} & set(deny)
    for _, pod in pods(objects(case)):
        assert deny["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()


@pytest.mark.parametrize("case", CASES)
def test_the_arrows_are_exactly_those_of_the_map(case: str) -> None:
    found = policies(objects(case))
    services = of_kind(objects(case), "Service")
    expected = ARROWS | {arrow for arrow in SOMETIMES if arrow[1] in services}
    incoming = {
        (source, name) for name, spec in found.items() for rule in spec.get("ingress", []) for source in components(rule.get("from", []))
    }
    outgoing = {
        (name, target) for name, spec in found.items() for rule in spec.get("egress", []) for target in components(rule.get("to", []))
    }
    assert outgoing == expected
    assert incoming | {arrow for arrow in expected if arrow[1] == "gateway"} == expected


@pytest.mark.parametrize("case", CASES)
def test_arrows_go_to_the_port_that_listens(case: str) -> None:
    for name, spec in policies(objects(case)).items():
        for rule in spec.get("ingress", []):
            assert rule["ports"] == [{"port": PORTS[name], "protocol": "TCP"}]
        for rule in spec.get("egress", []):
            for target in components(rule.get("to", [])):
                assert rule["ports"] == [{"port": PORTS[target], "protocol": "TCP"}]
    for name, service in of_kind(objects(case), "Service").items():
        assert service["spec"]["ports"] == [{"name": "http", "port": PORTS[name], "targetPort": "http", "protocol": "TCP"}]


@pytest.mark.parametrize("case", CASES)
def test_only_the_gateway_is_reachable_from_outside(case: str) -> None:
    found = objects(case)
    assert {service["spec"]["type"] for service in found if service["kind"] == "Service"} == {"ClusterIP"}
    for name, spec in policies(found).items():
        for rule in spec.get("ingress", []):
            strangers = [peer for peer in rule.get("from", [{}]) if "podSelector" not in peer]
            assert name == "gateway" or strangers == [METRICS]
    routed: set[Any] = {
        path["backend"]["service"]["name"]
        for one in found
        if one["kind"] == "Ingress"
        for rule in one["spec"]["rules"]
        for path in rule["http"]["paths"]
    }
    routed |= {ref["name"] for one in found if one["kind"] == "HTTPRoute" for rule in one["spec"]["rules"] for ref in rule["backendRefs"]}
    assert routed <= {"warmstart-gateway"}


def test_the_doors_are_there_when_asked_for() -> None:
    found = objects("everything")
    (route,) = [one for one in found if one["kind"] == "HTTPRoute"]
    assert route["spec"]["rules"] == [{"backendRefs": [{"name": "warmstart-gateway", "port": 8000}]}]
    assert route["spec"]["parentRefs"] == [{"name": "public", "namespace": "gateways"}]
    (ingress,) = [one for one in found if one["kind"] == "Ingress"]
    assert ingress["spec"]["ingressClassName"] == "alb"
    assert ingress["spec"]["tls"] == [{"secretName": "tls", "hosts": ["shop.example"]}]


def test_callers_of_the_gateway_can_be_narrowed_without_losing_the_jobs() -> None:
    (rule,) = policies(objects("everything"))["gateway"]["ingress"]
    assert components(rule["from"]) == {"bootstrap", "refresh", "test"}
    assert [peer for peer in rule["from"] if "podSelector" not in peer] == [{"ipBlock": {"cidr": "10.0.0.0/16"}}, METRICS]


def test_names_are_resolved_by_those_who_call_and_by_nobody_else() -> None:
    for name, spec in policies(objects("eks-trn1")).items():
        resolves = any(rule["ports"] == DNS["ports"] for rule in spec.get("egress", []))
        assert resolves is (name in {"gateway", "expander", "bootstrap", "refresh", "test"}), name


def test_the_database_and_an_external_llm_are_reached_at_their_ports() -> None:
    def outside(case: str, component: str) -> list[Object]:
        rules = policies(objects(case))[component].get("egress", [])
        return [rule for rule in rules if not components(rule.get("to", [])) and rule["ports"] != DNS["ports"]]

    assert outside("eks-trn1", "gateway") == [{"ports": [{"port": 5432, "protocol": "TCP"}]}]
    assert outside("everything", "gateway") == [
        {"ports": [{"port": 5432, "protocol": "TCP"}], "to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}]}
    ]
    assert outside("external", "expander") == [{"ports": [{"port": 8443, "protocol": "TCP"}]}]
    assert outside("default", "gateway") == outside("default", "expander") == []


@pytest.mark.parametrize(
    ("url", "port"), [("https://llm.example/v1", 443), ("http://llm.example/v1", 80), ("http://[fd00::1]:9000/v1", 9000)]
)
def test_the_port_of_an_external_llm_is_that_of_its_url(url: str, port: int) -> None:
    values = values_of("external")
    _, llm, _ = policies(render({**values, "llm": {**values["llm"], "url": url}}))["expander"]["egress"]
    assert llm["ports"] == [{"port": port, "protocol": "TCP"}]


def test_policies_can_be_left_to_somebody_else() -> None:
    assert policies(render({"networkPolicy": {"enabled": False}})) == {}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_finds_the_pods_of_its_component(service: str) -> None:
    selector = of_kind(objects("default"), "Service")[service]["spec"]["selector"]
    assert {component for component, pod in pods(objects("default")) if selector.items() <= pod["metadata"]["labels"].items()} == {service}
