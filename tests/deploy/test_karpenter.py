"""The node pools of deploy/karpenter are pinned, bounded, tainted as the Neuron plugin needs, and fit what the chart schedules."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm_python
import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[2]
KARPENTER = ROOT / "deploy" / "karpenter"
CRDS = ROOT.parent / "shared" / "data" / "crds" / "karpenter-provider-aws"
TABLE = json.loads((ROOT / "deploy" / "helm" / "warmstart" / "files" / "runtime-profiles.json").read_text())
PROFILES: dict[str, Any] = TABLE["profiles"]
INTENTIONS = ("trn1", "trn2", "inf2", "gpu", "cpu")
ALTERNATIVES = ("warm-capacity/capacity-buffer.yaml", "warm-capacity/pause-pods.yaml")
ACCELERATED = ("trn1", "trn2", "inf2", "gpu")
RUNTIME = {"trn1": ("trn1-sdk2.28", "trn1-sdk2.31"), "trn2": ("trn2",), "gpu": ("gpu",)}
VARIABLES = {
    "CLUSTER_NAME": "shop",
    "NODE_ROLE": "KarpenterNodeRole-shop",
    "AMI_ALIAS": "al2023@v20990101",
    "RUNTIME_PROFILE": "trn1-sdk2.28",
    "PAUSE_IMAGE": "registry.example/pause:3.10",
    "NEURON_DEVICES": "1",
}


def render(what: str, **changes: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], **VARIABLES, **changes}
    return subprocess.run([str(KARPENTER / "render"), what], capture_output=True, text=True, timeout=30, check=False, env=environment)


def objects(what: str) -> list[dict[str, Any]]:
    answer = render(what)
    assert answer.returncode == 0, answer.stderr
    return [document for document in yaml.safe_load_all(answer.stdout) if document]


def of_kind(kind: str, *intentions: str) -> list[Any]:
    found = [(name, thing) for name in intentions for thing in objects(name) if thing["kind"] == kind]
    assert {name for name, _ in found} == set(intentions)
    return [pytest.param(thing["spec"], id=thing["metadata"]["name"]) for _, thing in found]


CLASSES, POOLS = of_kind("EC2NodeClass", *INTENTIONS), of_kind("NodePool", *INTENTIONS)
ACCELERATED_POOLS = of_kind("NodePool", *ACCELERATED)


def required(pool: dict[str, Any], key: str) -> list[str]:
    return next((list(row["values"]) for row in pool["template"]["spec"]["requirements"] if row["key"] == key), [])


def taints(pool: dict[str, Any]) -> list[tuple[str, str]]:
    return [(taint["key"], taint["effect"]) for taint in pool["template"]["spec"].get("taints", [])]


@pytest.mark.parametrize("intention", ["trn1", "trn2", "inf2"])
def test_every_neuron_pool_has_the_taint_that_the_device_plugin_tolerates_and_no_other(intention: str) -> None:
    """With another key the plugin stays away, the resource is never registered and the node never ready."""
    for pool in of_kind("NodePool", intention):
        assert taints(pool.values[0]) == [("aws.amazon.com/neuron", "NoSchedule")]


@pytest.mark.parametrize("pool", ACCELERATED_POOLS)
def test_accelerated_nodes_go_only_when_empty_and_never_by_age(pool: dict[str, Any]) -> None:
    assert pool["disruption"]["consolidationPolicy"] == "WhenEmpty"
    assert pool["template"]["spec"]["expireAfter"] == "Never"
    assert pool["template"]["spec"]["terminationGracePeriod"] == "1h"


@pytest.mark.parametrize("pool", ACCELERATED_POOLS)
def test_a_loading_model_is_protected_for_less_long_than_a_drifted_node_waits(pool: dict[str, Any]) -> None:
    """The chart's pods carry do-not-disrupt for their start budget; the node's grace ends it at last."""
    assert pool["template"]["spec"]["terminationGracePeriod"] == "1h"
    assert max(profile["start_budget_s"] for profile in PROFILES.values()) < 3600


@pytest.mark.parametrize("pool", ACCELERATED_POOLS)
def test_accelerated_nodes_are_reserved_or_on_demand_and_never_spot(pool: dict[str, Any]) -> None:
    assert required(pool, "karpenter.sh/capacity-type") == ["reserved", "on-demand"]


@pytest.mark.parametrize("pool", ACCELERATED_POOLS)
def test_accelerated_nodes_are_replaced_one_at_a_time_and_not_in_working_hours(pool: dict[str, Any]) -> None:
    budgets = pool["disruption"]["budgets"]
    assert {"nodes": "1"} in budgets
    assert [budget["reasons"] for budget in budgets if budget["nodes"] == "0"] == [["Drifted"]]


@pytest.mark.parametrize("pool", POOLS)
def test_every_pool_is_limited(pool: dict[str, Any]) -> None:
    assert {"cpu", "memory"} <= set(pool["limits"])
    device = {"aws.amazon.com/neuron", "nvidia.com/gpu"} & {key for key, _ in taints(pool)}
    assert device <= set(pool["limits"])


@pytest.mark.parametrize("pool", POOLS)
def test_capacity_types_are_those_that_karpenter_knows_and_spot_is_only_taken_by_who_tolerates_it(pool: dict[str, Any]) -> None:
    chosen = set(required(pool, "karpenter.sh/capacity-type"))
    assert chosen
    assert chosen <= {"reserved", "on-demand", "spot"}
    assert "spot" not in chosen or ("warmstart/spot", "NoSchedule") in taints(pool)


@pytest.mark.parametrize("pool", POOLS)
def test_requirements_and_budgets_obey_the_rules_of_the_api_server(pool: dict[str, Any]) -> None:
    """Re-stated CEL rules of Karpenter v1."""
    for row in pool["template"]["spec"]["requirements"]:
        assert row["operator"] in {"In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt", "Gte", "Lte"}
        assert row["operator"] != "In" or row["values"]
        assert row["operator"] not in {"Gt", "Lt", "Gte", "Lte"} or (len(row["values"]) == 1 and int(row["values"][0]) >= 0)
    assert all(("schedule" in budget) == ("duration" in budget) for budget in pool["disruption"]["budgets"])
    assert re.fullmatch(r"([0-9]+(s|m|h))+|Never", pool["disruption"]["consolidateAfter"])
    assert "replicas" not in pool
    assert 1 <= pool["weight"] <= 100


@pytest.mark.parametrize("spec", CLASSES)
def test_every_image_is_one_pinned_alias_and_an_unset_one_is_refused_by_the_api_server(spec: dict[str, Any]) -> None:
    assert spec["amiSelectorTerms"] == [{"alias": VARIABLES["AMI_ALIAS"]}]
    assert not re.match(r"^[a-zA-Z0-9]+@.+$", "${AMI_ALIAS}")


@pytest.mark.parametrize("spec", CLASSES)
def test_node_classes_obey_the_rules_of_the_api_server(spec: dict[str, Any]) -> None:
    assert ("role" in spec) != ("instanceProfile" in spec)
    assert spec["subnetSelectorTerms"] == spec["securityGroupSelectorTerms"] == [{"tags": {"karpenter.sh/discovery": "shop"}}]
    reserved = (
        "kubernetes.io/cluster",
        "karpenter.sh/nodepool",
        "karpenter.sh/nodeclaim",
        "karpenter.k8s.aws/ec2nodeclass",
        "eks:eks-cluster-name",
    )
    assert not [tag for tag in spec["tags"] if tag.startswith(reserved)]
    assert sum(device.get("rootVolume", False) for device in spec["blockDeviceMappings"]) == 1
    assert all("id" not in term or len(term) == 1 for term in spec.get("capacityReservationSelectorTerms", []))


@pytest.mark.parametrize("spec", CLASSES)
def test_nodes_give_their_role_to_no_pod_and_encrypt_their_disks(spec: dict[str, Any]) -> None:
    options = spec["metadataOptions"]
    assert (options["httpTokens"], options["httpPutResponseHopLimit"]) == ("required", 1)
    assert all(device["ebs"]["encrypted"] for device in spec["blockDeviceMappings"])


@pytest.mark.parametrize("intention", ACCELERATED)
def test_accelerated_nodes_have_room_for_images_of_many_gigabytes(intention: str) -> None:
    """Local disks where the type has some; inf2 has none and gets a larger root."""
    for spec in (found.values[0] for found in of_kind("EC2NodeClass", intention)):
        root = spec["blockDeviceMappings"][0]["ebs"]["volumeSize"]
        assert int(root.removesuffix("Gi")) >= 200
        assert spec.get("instanceStorePolicy") == (None if intention == "inf2" else "RAID0")
        assert spec["capacityReservationSelectorTerms"]


def test_no_file_takes_the_latest_of_anything() -> None:
    for path in (path for path in KARPENTER.rglob("*.yaml")):
        assert not re.search(r"@latest|:latest", path.read_text()), path


@pytest.mark.parametrize("intention", INTENTIONS)
def test_pools_refer_to_the_class_beside_them(intention: str) -> None:
    things = objects(intention)
    classes = {thing["metadata"]["name"] for thing in things if thing["kind"] == "EC2NodeClass"}
    for pool in (thing["spec"] for thing in things if thing["kind"] == "NodePool"):
        reference = pool["template"]["spec"]["nodeClassRef"]
        assert (reference["group"], reference["kind"]) == ("karpenter.k8s.aws", "EC2NodeClass")
        assert reference["name"] in classes


@pytest.mark.parametrize("variable", ["AMI_ALIAS", "CLUSTER_NAME", "NODE_ROLE", "RUNTIME_PROFILE"])
def test_an_unset_variable_is_named_and_nothing_is_printed(variable: str) -> None:
    answer = render("trn1", **{variable: ""})
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.startswith(f"render: {variable} is not set")


@pytest.mark.parametrize("alias", ["al2023@latest", "al2023@v<YYYYMMDD>", "latest", "al2023@v2025"])
def test_an_image_that_is_not_pinned_is_refused(alias: str) -> None:
    answer = render("trn1", AMI_ALIAS=alias)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "al2023@vYYYYMMDD" in answer.stderr


def test_values_that_would_change_the_manifest_are_refused() -> None:
    assert render("cpu", CLUSTER_NAME='a"}, x: "').returncode == 2
    assert render("cpu", NODE_ROLE="a|b").returncode == 2


def test_a_profile_that_the_table_does_not_have_is_refused() -> None:
    answer = render("trn1", RUNTIME_PROFILE="trn1-sdk9")
    assert answer.returncode == 2
    assert "trn1-sdk2.28" in answer.stderr


def test_alternatives_must_be_named() -> None:
    answer = render("warm-capacity")
    assert answer.returncode == 2
    assert all(name in answer.stderr for name in ALTERNATIVES)


@pytest.mark.parametrize(("intention", "profile"), [(intention, profile) for intention, names in RUNTIME.items() for profile in names])
def test_a_pool_offers_what_its_runtime_profiles_ask_for(intention: str, profile: str) -> None:
    """The chart selects instance types and tolerates the taint key of the profile; both come from the table."""
    row, pool = PROFILES[profile], next(found.values[0] for found in of_kind("NodePool", intention))
    families = required(pool, "karpenter.k8s.aws/instance-family")
    types = {name for shape in row["shapes"].values() for verb in ("serve", "compile") for name in shape[verb]["instance_types"]}
    assert {name.split(".")[0] for name in types} <= set(families)
    assert taints(pool) == [(row["taint_key"], "NoSchedule")]
    assert int(pool["limits"][row["device_resource"]]) >= max(shape["devices"] for shape in row["shapes"].values())


def test_profiles_that_need_accelerated_nodes_have_a_pool() -> None:
    assert {name for name, row in PROFILES.items() if row["device_resource"]} == {name for names in RUNTIME.values() for name in names}


def test_the_alias_of_the_table_is_the_one_that_must_be_set() -> None:
    """Where a profile pins an AMI, its alias is a pattern to fill in, which neither the renderer nor the expander takes as it is."""
    pinned = {name: row["ami"]["pinned_alias"] for name, row in PROFILES.items() if row["ami"]["pinned_alias"]}
    assert {"trn1-sdk2.28", "trn1-sdk2.31", "trn2"} <= set(pinned)
    for alias in pinned.values():
        assert render("trn1", AMI_ALIAS=alias).returncode == 2
        assert not re.match(TABLE["ami_alias_pattern"], alias)
        assert re.match(TABLE["ami_alias_pattern"], alias.replace("<YYYYMMDD>", "20990101"))


@pytest.mark.parametrize("path", ALTERNATIVES)
def test_warm_capacity_waits_where_the_model_server_goes_and_asks_for_devices(path: str) -> None:
    holder = next(thing for thing in objects(path) if thing["kind"] in {"Deployment", "PodTemplate"})
    pod = (holder["spec"]["template"] if holder["kind"] == "Deployment" else holder["template"])["spec"]
    assert pod["nodeSelector"] == {"warmstart/runtime-profile": "trn1-sdk2.28"}
    assert pod["tolerations"][0]["key"] == "aws.amazon.com/neuron"
    assert pod["containers"][0]["resources"]["limits"]["aws.amazon.com/neuron"] == "1"
    labels = next(found.values[0] for found in of_kind("NodePool", "trn1"))["template"]["metadata"]["labels"]
    assert labels["warmstart/runtime-profile"] == "trn1-sdk2.28"


def test_placeholders_yield_to_every_other_pod() -> None:
    things = {thing["kind"]: thing for thing in objects("warm-capacity/pause-pods.yaml")}
    assert things["PriorityClass"]["value"] < 0
    assert things["PriorityClass"]["globalDefault"] is False
    assert things["Deployment"]["spec"]["template"]["spec"]["priorityClassName"] == things["PriorityClass"]["metadata"]["name"]


@pytest.mark.parametrize("intention", [*INTENTIONS, "warm-capacity"])
def test_every_intention_is_described_from_purpose_to_clean_up(intention: str) -> None:
    text = (KARPENTER / intention / "README.md").read_text()
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["Purpose", "Requirements", "Deploy", "Verify", "Clean up"]
    assert f"render {intention}" in text
    assert f"[{intention}]({intention}/README.md)" in (KARPENTER / "README.md").read_text()


def strict(schema: Any) -> Any:
    """The CRD's schema, with unknown keys refused as the API server refuses them under strict field validation."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema:
        closed["additionalProperties"] = False
    return closed


def crds() -> Iterator[tuple[tuple[str, str], Any]]:
    for path in CRDS.glob("*.yaml"):
        spec = yaml.safe_load(path.read_text())["spec"]
        for version in spec["versions"]:
            yield (f"{spec['group']}/{version['name']}", spec["names"]["kind"]), strict(version["schema"]["openAPIV3Schema"])


@pytest.mark.skipif(not CRDS.exists(), reason="the CRDs of Karpenter are not beside this checkout")
@pytest.mark.parametrize("what", [*INTENTIONS, *ALTERNATIVES])
def test_every_object_is_what_the_published_crd_takes(what: str) -> None:
    schemas = dict(crds())
    checked = [thing for thing in objects(what) if (thing["apiVersion"], thing["kind"]) in schemas]
    assert checked or what.endswith("pause-pods.yaml")
    for thing in checked:
        jsonschema.validate(thing, schemas[thing["apiVersion"], thing["kind"]])


@pytest.mark.skipif(not CRDS.exists(), reason="the CRDs of Karpenter are not beside this checkout")
@pytest.mark.parametrize(
    ("kind", "wrong"), [("NodePool", {"weigth": 1}), ("NodePool", {"weight": 101}), ("EC2NodeClass", {"instanceStorePolicy": "RAID5"})]
)
def test_the_published_crd_refuses_what_is_wrong(kind: str, wrong: dict[str, Any]) -> None:
    schemas = dict(crds())
    thing = next(thing for thing in objects("trn1") if thing["kind"] == kind)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**thing, "spec": {**thing["spec"], **wrong}}, schemas[thing["apiVersion"], kind])


@pytest.mark.parametrize(("values", "intention"), [("eks-trn1", "trn1"), ("eks-trn2", "trn2"), ("gpu", "gpu")])
def test_the_model_server_of_the_chart_can_be_scheduled_on_its_pool(values: str, intention: str) -> None:
    chart = ROOT / "deploy" / "helm" / "warmstart"
    chosen = yaml.safe_load((chart / "profiles" / f"{values}.yaml").read_text())
    chosen["image"]["registry"], chosen["postgresql"]["existingSecret"], chosen["artefacts"]["storageClass"] = (
        "registry.example",
        "db",
        "efs",
    )
    chosen["llm"]["model"] = {"name": "llama-3.1-8b", "revision": "abc"}
    files = helm_python.Chart.load(str(chart)).render(chosen, name="shop", namespace="books")
    rendered = [thing for name, text in files.items() if name.endswith(".yaml") for thing in yaml.safe_load_all(text) if thing]
    pod = next(t for t in rendered if t["kind"] == "Deployment" and t["metadata"]["name"].endswith("-llm"))["spec"]["template"]["spec"]
    pool = next(found.values[0] for found in of_kind("NodePool", intention))
    tolerated = {(row["key"], row["effect"]) for row in pod["tolerations"]}
    assert set(taints(pool)) <= tolerated
    terms = (
        pod.get("affinity", {})
        .get("nodeAffinity", {})
        .get("requiredDuringSchedulingIgnoredDuringExecution", {})
        .get("nodeSelectorTerms", [])
    )
    types = [name for term in terms for row in term["matchExpressions"] for name in row["values"]]
    assert {name.split(".")[0] for name in types} <= set(required(pool, "karpenter.k8s.aws/instance-family"))
    assert int(pod["containers"][0]["resources"]["limits"][taints(pool)[0][0]]) <= pool["limits"][taints(pool)[0][0]]
