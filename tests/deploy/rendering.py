"""Renders the chart with the real Helm engine, once per set of values. Knows nothing of what the objects should be."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import helm_python as helm
import yaml

Object = dict[str, Any]

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "warmstart"
SHARED = ROOT.parent / "shared" / "data"
NAME, NAMESPACE = "warmstart", "shop"
SERVICES = ("gateway", "encoder", "expander", "retriever")

ANSWERS = {
    "image.registry": "registry.example/warmstart",
    "postgresql.existingSecret": "profiles",
    "artefacts.storageClass": "efs",
    "llm.model.name": "TinyLlama-1.1B-Chat-v1.0",
    "llm.model.revision": "fe8a4ea1ffedaf415f4da2f062534de366a451e6",
}
"""What a first install answers where a profile asks."""

EVERYTHING: Object = {
    "image": {"pullSecrets": ["registry"], "digests": {"gateway": f"sha256:{'a' * 64}"}},
    "llm": {"autoscaling": {"enabled": True, "prometheusUrl": "http://prometheus.monitoring:9090"}},
    "services": {
        "gateway": {
            "podAnnotations": {"a/b": "c"},
            "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/r"}},
        },
        "retriever": {"settings": {"publish_url": "s3://books/catalogue"}, "readers": {"replicas": 2}},
    },
    "objectStorage": {"existingSecret": "storage"},
    "bootstrap": {"enabled": True, "source": "/artefacts/import"},
    "ingress": {"enabled": True, "className": "alb", "host": "shop.example", "tlsSecret": "tls", "annotations": {"a": "b"}},
    "httpRoute": {"enabled": True, "parentRefs": [{"name": "public", "namespace": "gateways"}], "hostnames": ["shop.example"]},
    "networkPolicy": {"gatewayFrom": [{"ipBlock": {"cidr": "10.0.0.0/16"}}], "postgresqlTo": [{"ipBlock": {"cidr": "10.1.0.0/16"}}]},
    "monitoring": {
        "serviceMonitor": {"enabled": True},
        "prometheusRule": {"enabled": True, "runbookUrl": "https://docs.example/runbooks"},
        "dashboards": {"enabled": True},
    },
}
NEURON: Object = {
    "artefacts": {"accessMode": "ReadWriteMany", "storageClass": "efs"},
    "services": {
        "encoder": {
            "neuron": {"chips": 1, "device": "inf2/bf16", "model": "/artefacts/models/sentence-t5-base"},
            "nodeSelector": {"warmstart/intention": "inf2"},
        }
    },
}
"""An encoder on NeuronCores, and no LLM."""
CASES = ("default", "dev", "eks-trn1", "eks-trn2", "gpu", "cpu", "external", "everything", "neuron")


class Repeated(Exception):
    """A key stands twice in one mapping, so that one of the values is lost."""


class Strict(yaml.SafeLoader):
    """Refuses repeated keys, as the API server does."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        if len(keys) != len(set(keys)):
            raise Repeated(f"{node.start_mark}: {keys}")
        return super().construct_mapping(node, deep)


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> Object:
    """`under` with `over` on top, as Helm does for two files of values."""
    both = {
        key: merged(under[key], value) if isinstance(value, dict) and isinstance(under.get(key), dict) else value
        for key, value in over.items()
    }
    return {**under, **both}


def nested(path: str, value: Any) -> Object:
    """`a.b` and a value -> {"a": {"b": value}}."""
    for name in reversed(path.split(".")):
        value = {name: value}
    return dict(value)


def asked(profile: str) -> list[str]:
    """The keys that the profile's file tells a first install to set."""
    return re.findall(r"^#   ([\w.]+):", (CHART / "profiles" / f"{profile}.yaml").read_text(), re.MULTILINE)


def from_profile(profile: str) -> Object:
    """The profile's values, with the answers to what it asks."""
    values = yaml.safe_load((CHART / "profiles" / f"{profile}.yaml").read_text())
    for key in asked(profile):
        values = merged(values, nested(key, ANSWERS[key]))
    return dict(values)


def values_of(case: str) -> Object:
    """The values of one of CASES."""
    model = {"name": ANSWERS["llm.model.name"]}
    match case:
        case "default":
            return {}
        case "everything":
            return merged(from_profile("eks-trn1"), EVERYTHING)
        case "neuron":
            return NEURON
        case "cpu":
            return {"llm": {"profile": "cpu", "model": model}}
        case "external":
            return {"llm": {"profile": "external", "url": "https://llm.example:8443/v1", "model": model, "existingSecret": "llm-key"}}
        case _:
            return from_profile(case)


@lru_cache(maxsize=64)
def _rendered(values: str, name: str) -> tuple[Object, ...]:
    with helm.Chart.load(CHART) as chart:
        texts = chart.render(json.loads(values), name=name, namespace=NAMESPACE)
    documents = [yaml.load(text, Strict) for part, file in texts.items() if not part.endswith(".txt") for text in file.split("\n---\n")]
    return tuple(document for document in documents if document)


def render(values: Mapping[str, Any], name: str = NAME) -> tuple[Object, ...]:
    """The objects of a release with these values."""
    return _rendered(json.dumps(values, sort_keys=True), name)


def objects(case: str) -> tuple[Object, ...]:
    return render(values_of(case))


def service_of(component: str) -> str:
    """The service whose image and settings the component has."""
    return component.removesuffix("-reader")


def of_kind(found: tuple[Object, ...], kind: str) -> dict[str, Object]:
    """Objects of a kind by their component, or by their name where the component has several."""
    return {found_one["metadata"]["labels"]["app.kubernetes.io/component"]: found_one for found_one in found if found_one["kind"] == kind}


def pods(found: tuple[Object, ...]) -> Iterator[tuple[str, Object]]:
    """Each pod (bare or template) with its component."""
    for one in found:
        match one["kind"]:
            case "Deployment" | "StatefulSet" | "Job":
                template = one["spec"]["template"]
            case "CronJob":
                template = one["spec"]["jobTemplate"]["spec"]["template"]
            case "Pod":
                template = one
            case _:
                continue
        yield template["metadata"]["labels"]["app.kubernetes.io/component"], template


def container(pod: Object) -> Object:
    """The only container of a pod."""
    (only,) = pod["spec"]["containers"]
    return dict(only)
