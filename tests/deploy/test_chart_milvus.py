"""The chart with the items in Milvus: the retriever is told where by a Secret, and reaches that and nothing else."""

from tests.deploy.rendering import container, of_kind, pods, render

RETRIEVER = "retriever"
SECRET = {"existingSecret": "items"}


def test_the_retriever_alone_is_told_where_milvus_is_by_reference() -> None:
    found = render({"milvus": SECRET | {"key": "address"}})
    variable = {"name": "RETRIEVER_MILVUS_URL", "valueFrom": {"secretKeyRef": {"name": "items", "key": "address"}}}
    assert [component for component, pod in pods(found) if variable in container(pod).get("env", [])] == [RETRIEVER]
    assert "RETRIEVER_MILVUS_URL" not in str(of_kind(found, "ConfigMap"))
    assert "RETRIEVER_MILVUS_URL" not in str(render({}))


def test_milvus_is_reached_at_its_port_by_the_retriever_alone() -> None:
    there = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "milvus"}}}]
    policies = of_kind(render({"milvus": SECRET | {"port": 443}, "networkPolicy": {"milvusTo": there}}), "NetworkPolicy")
    milvus, *names = policies[RETRIEVER]["spec"]["egress"]
    assert milvus == {"ports": [{"port": 443, "protocol": "TCP"}], "to": there}
    assert [port["port"] for name in names for port in name["ports"]] == [53, 53]
    assert [name for name, policy in policies.items() if "443" in str(policy)] == [RETRIEVER]
    anywhere = of_kind(render({"milvus": SECRET}), "NetworkPolicy")[RETRIEVER]["spec"]
    assert anywhere["egress"][0] == {"ports": [{"port": 19530, "protocol": "TCP"}]}
    assert "egress" not in of_kind(render({}), "NetworkPolicy")[RETRIEVER]["spec"]


def test_one_retriever_writes_to_milvus_as_to_its_own_folder() -> None:
    assert [component for component, _ in pods(render({"milvus": SECRET})) if component.startswith(RETRIEVER)] == [RETRIEVER]
    assert {one["spec"]["replicas"] for one in of_kind(render({"milvus": SECRET}), "StatefulSet").values()} == {1}
