"""Values that can not work are refused, with the reason and what to do instead."""

import shutil
from pathlib import Path
from typing import Any

import helm_python as helm
import pytest
from tests.deploy.rendering import ANSWERS, CHART, NEURON, asked, from_profile, merged, nested, render, values_of

TRAINIUM = from_profile("eks-trn1")
NEURON_ALONE = {"neuron": NEURON["services"]["encoder"]["neuron"]}
REFUSED: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("an unknown key", {"replicaCount": 3}, "additional properties 'replicaCount' not allowed"),
    ("an unknown key of a service", {"services": {"gateway": {"replica": 3}}}, "additional properties 'replica' not allowed"),
    ("an unknown service", {"services": {"ranker": {"replicas": 1}}}, "additional properties 'ranker' not allowed"),
    (
        "an unknown setting",
        {"services": {"gateway": {"settings": {"max_inflight": 3}}}},
        "additional properties 'max_inflight' not allowed",
    ),
    (
        "a setting of another service",
        {"services": {"encoder": {"settings": {"ladder_path": "x"}}}},
        "additional properties 'ladder_path' not allowed",
    ),
    ("a setting of the wrong type", {"services": {"gateway": {"settings": {"max_in_flight": "many"}}}}, "got string, want integer"),
    ("a setting out of its bounds", {"services": {"gateway": {"settings": {"encoder_share": 2}}}}, "exclusiveMaximum"),
    ("a setting of the chart", {"services": {"gateway": {"settings": {"port": 80}}}}, "ports of containers and Services are fixed"),
    ("a drain beside the grace period", {"services": {"encoder": {"settings": {"drain_delay_s": 9}}}}, "set as drain.delaySeconds"),
    (
        "a secret in plain values",
        {"services": {"gateway": {"settings": {"profiles_url": "postgresql://u:p@h/d"}}}},
        "name a Secret in postgresql.existingSecret",
    ),
    ("an API key in plain values", {"services": {"expander": {"settings": {"llm_api_key": "sk"}}}}, "name a Secret in llm.existingSecret"),
    ("two retrievers", {"services": {"retriever": {"replicas": 2}}}, "one process owns the items"),
    ("a scaling retriever", {"services": {"retriever": {"autoscaling": {"enabled": True}}}}, "the retriever does not scale"),
    ("read replicas that have nothing to follow", {"services": {"retriever": {"readers": {"replicas": 2}}}}, "follow what is published"),
    (
        "scaling read replicas that have nothing to follow",
        {"services": {"retriever": {"readers": {"autoscaling": {"enabled": True}}}}},
        "services.retriever.settings.publish_url is missing",
    ),
    (
        "read replicas of a folder that only the writer sees",
        {"services": {"retriever": {"settings": {"publish_url": "/state/published"}, "readers": {"replicas": 1}}}},
        "a folder inside a pod is seen by no other",
    ),
    (
        "read replicas that follow something else",
        {"services": {"retriever": {"settings": {"follow_url": "s3://books"}}}},
        "services.retriever.readers follow settings.publish_url",
    ),
    (
        "fewer read replicas at most than at least",
        {
            "services": {
                "retriever": {
                    "settings": {"publish_url": "s3://books"},
                    "readers": {"autoscaling": {"enabled": True, "minReplicas": 9}},
                }
            }
        },
        "autoscaling of retriever.readers: minReplicas 9 is more than maxReplicas 8",
    ),
    (
        "a password of Milvus in plain values",
        {"services": {"retriever": {"settings": {"milvus_url": "http://u:p@milvus:19530"}}}},
        "name a Secret in milvus.existingSecret",
    ),
    (
        "snapshots of what is in Milvus",
        {"milvus": {"existingSecret": "m"}, "services": {"retriever": {"settings": {"publish_url": "s3://books/catalogue"}}}},
        "publish_url goes without milvus.existingSecret",
    ),
    ("a key of the bucket in plain values", {"objectStorage": {"secretKey": "x"}}, "additional properties 'secretKey' not allowed"),
    (
        "a Neuron backend without chips",
        {"services": {"encoder": {"settings": {"backend": "neuron"}}}},
        "services.encoder.neuron.chips is missing",
    ),
    ("chips without a model", merged(NEURON, nested("services.encoder.neuron.model", "")), "services.encoder.neuron.model is missing"),
    (
        "chips of any kind",
        merged(values_of("everything"), {"services": {"encoder": NEURON_ALONE}}),
        "services.encoder.nodeSelector is missing",
    ),
    (
        "a kind of chip that there is not",
        merged(NEURON, nested("services.encoder.neuron.device", "cuda/bf16")),
        "a kind of chip and a precision",
    ),
    (
        "a model to compile that pods would download",
        merged(NEURON, nested("services.encoder.neuron.model", "org/t5")),
        "pods download nothing",
    ),
    (
        "a second word on what the chips serve",
        merged(NEURON, nested("services.encoder.settings.model", "/artefacts/models/e5")),
        "services.encoder.settings.model goes without services.encoder.neuron.chips",
    ),
    (
        "more threads than cores",
        merged(NEURON, nested("services.encoder.settings.threads", 9)),
        "services.encoder.settings.threads goes without services.encoder.neuron.chips",
    ),
    (
        "chips on other nodes than the volume",
        merged(NEURON, {"artefacts": {"accessMode": "ReadWriteOnce"}}),
        "an encoder with chips runs on other nodes than the services",
    ),
    ("a scaling gateway on SQLite", {"services": {"gateway": {"autoscaling": {"enabled": True}}}}, "postgresql.existingSecret is missing"),
    (
        "fewer pods at most than at least",
        {"services": {"encoder": {"autoscaling": {"enabled": True, "minReplicas": 9}}}},
        "minReplicas 9 is more than maxReplicas 8",
    ),
    ("a metric without a target", {"services": {"encoder": {"autoscaling": {"metric": {"name": "m"}}}}}, "averageValue is missing"),
    ("no pods", {"services": {"encoder": {"replicas": 0}}}, "minimum: got 0, want 1"),
    ("the tag latest", {"image": {"tag": "latest"}}, "a tag that stays what it is"),
    ("the tag latest of vLLM", {"llm": {"image": {"tag": "latest"}}}, "a tag that stays what it is"),
    ("half a digest", {"image": {"digests": {"gateway": "sha256:abc"}}}, "does not match pattern"),
    ("no registry", {"image": {"registry": ""}}, "the prefix of your images"),
    ("a shared volume without a class", {"artefacts": {"accessMode": "ReadWriteMany"}}, "artefacts.storageClass is missing"),
    (
        "a gateway's volume that one pod at a time may open",
        {"services": {"gateway": {"persistence": {"accessMode": "ReadWriteOncePod"}}}},
        "a rollout needs a second gateway on the volume",
    ),
    ("an unknown runtime", {"llm": {"profile": "trn3"}}, "value must be one of '', 'trn1-sdk2.28'"),
    ("an external LLM without an address", {"llm": {"profile": "external"}}, "llm.url is missing"),
    ("an address without external", {"llm": {"url": "http://llm/v1"}}, "llm.url goes with llm.profile external only"),
    (
        "a key for our own vLLM",
        merged(TRAINIUM, {"llm": {"existingSecret": "k"}}),
        "llm.existingSecret goes with llm.profile external only",
    ),
    (
        "scaling an external LLM",
        merged(values_of("external"), {"llm": {"autoscaling": {"enabled": True, "prometheusUrl": "http://p"}}}),
        "nothing is deployed that could scale",
    ),
    ("scaling without Prometheus", merged(TRAINIUM, {"llm": {"autoscaling": {"enabled": True}}}), "prometheusUrl is missing"),
    ("scaling vLLM to zero", merged(TRAINIUM, {"llm": {"autoscaling": {"minReplicas": 0}}}), "minimum: got 0, want 1"),
    ("a model without a name", {"llm": {"profile": "cpu"}}, "llm.model.name is missing"),
    ("a model that would be downloaded", {"llm": {"model": {"path": "org/model"}}}, "pods download nothing"),
    ("a name that changes the command", {"llm": {"model": {"name": "a {b}"}}}, "a plain name"),
    ("compiling without a revision", merged(TRAINIUM, {"llm": {"model": {"revision": ""}}}), "llm.model.revision is missing"),
    (
        "4 cores on trn1",
        merged(TRAINIUM, {"llm": {"tensorParallelSize": 4}}),
        "llm.tensorParallelSize of trn1-sdk2.28 is one of 2, 8, 16, 32",
    ),
    ("2 cores on trn2", merged(from_profile("eks-trn2"), {"llm": {"tensorParallelSize": 2}}), "llm.tensorParallelSize of trn2 is one of"),
    (
        "some chips of a node without their scheduler",
        merged(TRAINIUM, {"llm": {"tensorParallelSize": 8}}),
        "llm.schedulerName is missing: 4 chips",
    ),
    ("a length that has no buckets", merged(TRAINIUM, {"llm": {"maxModelLen": 1000}}), "must be a multiple of 512"),
    ("a model that does not compile", merged(TRAINIUM, {"llm": {"model": {"name": "Llama-3.2-1B"}}}), "it does not compile (NCC_ITEN404"),
    (
        "an accelerator on a volume of one node",
        merged(TRAINIUM, {"artefacts": {"accessMode": "ReadWriteOnce"}}),
        "runs on other nodes than the services",
    ),
    ("nodes of another runtime", merged(TRAINIUM, {"llm": {"profile": "trn1-sdk2.31"}}), "nodes for trn1-sdk2.28 do not run trn1-sdk2.31"),
    ("environment for vLLM", {"llm": {"env": {"WORLD_SIZE": "2"}}}, "WORLD_SIZE and its like would make it hang"),
    ("a route to nowhere", {"httpRoute": {"enabled": True}}, "httpRoute.parentRefs is missing"),
    (
        "monitors that are kept out",
        {"monitoring": {"serviceMonitor": {"enabled": True}}, "networkPolicy": {"metricsFrom": []}},
        "networkPolicy.metricsFrom is missing",
    ),
    ("an import from elsewhere", {"bootstrap": {"source": "s3://bucket"}}, "a folder below /artefacts with items.ndjson"),
    (
        "topics ahead of traffic that one expander keeps",
        {"cronJobs": {"precompute": {"enabled": True}}, "llm": {"profile": "external", "url": "http://llm/v1", "model": {"name": "m"}}},
        "redis.existingSecret is missing",
    ),
    (
        "topics ahead of traffic without an LLM",
        {"cronJobs": {"precompute": {"enabled": True}}, "redis": {"existingSecret": "r"}},
        "llm.profile is missing",
    ),
    ("a schedule that is none", {"cronJobs": {"refresh": {"schedule": "nightly"}}}, "five fields of cron"),
)


@pytest.mark.parametrize(("values", "reason"), [pytest.param(values, reason, id=what) for what, values, reason in REFUSED])
def test_values_that_can_not_work_are_refused_with_the_reason(values: dict[str, Any], reason: str) -> None:
    with pytest.raises((helm.HelmValuesError, helm.HelmRenderError)) as refusal:
        render(values)
    assert reason in str(refusal.value)


@pytest.mark.parametrize("profile", ["eks-trn1", "eks-trn2", "gpu"])
def test_each_value_that_a_profile_asks_for_is_named_when_it_is_missing(profile: str) -> None:
    for key in asked(profile):
        with pytest.raises(helm.HelmValuesError) as refusal:
            render(merged(from_profile(profile), nested(key, "")))
        assert key in str(refusal.value).replace("/", ".")


@pytest.mark.parametrize("profile", ["eks-trn1", "eks-trn2", "gpu"])
def test_a_profile_asks_for_all_it_needs(profile: str) -> None:
    assert render(from_profile(profile))
    assert set(asked(profile)) <= set(ANSWERS)


def test_the_retriever_stays_alone_when_the_schema_is_skipped(tmp_path: Path) -> None:
    unchecked = shutil.copytree(CHART, tmp_path / "warmstart")
    (unchecked / "values.schema.json").unlink()
    with helm.Chart.load(unchecked) as chart, pytest.raises(helm.HelmRenderError, match="one process owns the items"):
        chart.render({"services": {"retriever": {"replicas": 2}}}, name="warmstart")
