"""Which values of values.yaml are legal only together. Knows the keys, not how the schema is written."""

from typing import Any

from values_rules import Schema


def at(path: str, schema: Schema) -> Schema:
    """The condition that the value at the dotted path is as `schema` says."""
    name, _, rest = path.partition(".")
    return {"properties": {name: at(rest, schema) if rest else schema}, "required": [name]}


def every(*conditions: Schema) -> Schema:
    return {"allOf": list(conditions)}


EMPTY, ON, FILLED = {"enum": ["", []]}, {"const": True}, {"not": {"enum": ["", []]}}


def _forbidden(sentence: str, *conditions: Schema) -> Schema:
    return {"if": every(*conditions), "then": {"const": sentence}}


def together(profiles: dict[str, Any]) -> list[Schema]:
    """Rules over several keys; `profiles` is the table of runtime profiles."""
    own = [name for name, profile in profiles.items() if profile["has_pod"]]
    deployed, metric = at("llm.profile", {"enum": own}), "autoscaling.metric"
    readers = "services.retriever.readers"
    rules = [
        _forbidden(
            "services.retriever.settings.publish_url is missing, or is no URL of object storage such as s3://bucket/prefix: "
            "services.retriever.readers follow what is published there, and a folder inside a pod is seen by no other",
            {"anyOf": [at(f"{readers}.replicas", {"minimum": 1}), at(f"{readers}.autoscaling.enabled", ON)]},
            {"not": at("services.retriever.settings.publish_url", {"pattern": "^(s3|gs|gcs|az|abfss?)://"})},
        ),
        _forbidden(
            "services.retriever.settings.publish_url goes without milvus.existingSecret: Milvus keeps copies and snapshots of its own",
            at("milvus.existingSecret", FILLED),
            at("services.retriever.settings.publish_url", FILLED),
        ),
        _forbidden(
            "postgresql.existingSecret is missing: gateways scale only when their profiles are in PostgreSQL, not in one SQLite file",
            at("services.gateway.autoscaling.enabled", ON),
            at("postgresql.existingSecret", EMPTY),
        ),
        _forbidden(
            "artefacts.storageClass is missing: name a class that can do ReadWriteMany (EFS on EKS), or an artefacts.existingClaim",
            at("artefacts.accessMode", {"const": "ReadWriteMany"}),
            at("artefacts.storageClass", EMPTY),
            at("artefacts.existingClaim", EMPTY),
        ),
        _forbidden(
            "redis.existingSecret is missing: what cronJobs.precompute expands would be kept by the one expander that was asked",
            at("cronJobs.precompute.enabled", ON),
            at("redis.existingSecret", EMPTY),
        ),
        _forbidden(
            "llm.profile is missing: cronJobs.precompute asks an LLM",
            at("cronJobs.precompute.enabled", ON),
            at("llm.profile", EMPTY),
        ),
        _forbidden(
            "llm.url is missing: with llm.profile external it says where the API is",
            at("llm.profile", {"const": "external"}),
            at("llm.url", EMPTY),
        ),
        _forbidden("llm.url goes with llm.profile external only", at("llm.profile", {"not": {"const": "external"}}), at("llm.url", FILLED)),
        _forbidden(
            "llm.existingSecret goes with llm.profile external only: here the NetworkPolicy admits nobody but the expander to vLLM",
            at("llm.profile", {"not": {"const": "external"}}),
            at("llm.existingSecret", FILLED),
        ),
        _forbidden("llm.model.name is missing: the model is read from /artefacts/models/<name>", deployed, at("llm.model.name", EMPTY)),
        _forbidden(
            "httpRoute.parentRefs is missing: an HTTPRoute is served only by the Gateways it names",
            at("httpRoute.enabled", ON),
            at("httpRoute.parentRefs", EMPTY),
        ),
        _forbidden(
            "networkPolicy.metricsFrom is missing: without it the NetworkPolicy keeps Prometheus out and the ServiceMonitor finds nothing",
            at("monitoring.serviceMonitor.enabled", ON),
            at("networkPolicy.enabled", ON),
            at("networkPolicy.metricsFrom", EMPTY),
        ),
        _forbidden(
            "llm.autoscaling.prometheusUrl is missing: KEDA reads the queue of vLLM there",
            at("llm.autoscaling.enabled", ON),
            at("llm.autoscaling.prometheusUrl", EMPTY),
        ),
        _forbidden(
            "llm.autoscaling needs an llm.profile with a pod: nothing is deployed that could scale",
            at("llm.autoscaling.enabled", ON),
            at("llm.profile", {"not": {"enum": own}}),
        ),
    ]
    rules += [
        _forbidden(
            f"services.{name}.{metric}.averageValue is missing: the value per pod to scale for",
            at(f"services.{name}.{metric}.name", FILLED),
            at(f"services.{name}.{metric}.averageValue", EMPTY),
        )
        for name in ("gateway", "encoder", "expander", "retriever.readers")
    ]
    return rules + _of_neuron() + [rule for name in own for rule in _of_profile(name, profiles[name])]


def _of_neuron() -> list[Schema]:
    """Of an encoder on NeuronCores, and of one that only says so."""
    encoder = "services.encoder"
    chips = at(f"{encoder}.neuron.chips", {"minimum": 1})
    return [
        _forbidden(
            f"{encoder}.neuron.chips is missing: from it the pods get their chips, their image, and what backend, device and model say",
            at(f"{encoder}.settings.backend", {"const": "neuron"}),
        ),
        *(
            _forbidden(
                f"{encoder}.settings.{name} goes without {encoder}.neuron.chips: {reason}", chips, at(f"{encoder}.settings.{name}", {})
            )
            for name, reason in (
                ("backend", "with chips it is neuron"),
                ("device", "set neuron.device"),
                ("model", "set neuron.model, the folder that is compiled"),
                ("threads", "it is one for each core of the chips"),
                ("weights_sha256", "a compiled model's manifest has the hashes"),
            )
        ),
        _forbidden(
            f"{encoder}.neuron.model is missing: the folder of the model below /artefacts", chips, at(f"{encoder}.neuron.model", EMPTY)
        ),
        _forbidden(
            f"{encoder}.nodeSelector is missing: name the nodes with {encoder}.neuron.device, such as warmstart/intention: inf2; "
            "what is compiled for one kind of chip does not load on another",
            chips,
            at(f"{encoder}.nodeSelector", {"maxProperties": 0}),
        ),
        _forbidden(
            "artefacts.accessMode is ReadWriteOnce, but an encoder with chips runs on other nodes than the services: "
            "take ReadWriteMany, or name an artefacts.existingClaim",
            chips,
            at("artefacts.accessMode", {"const": "ReadWriteOnce"}),
            at("artefacts.existingClaim", EMPTY),
        ),
    ]


def _of_profile(name: str, profile: dict[str, Any]) -> list[Schema]:
    chosen, sizes = at("llm.profile", {"const": name}), profile["tensor_parallel_sizes"]
    listed = ", ".join(map(str, sizes))
    rules = [
        _forbidden(
            f"llm.tensorParallelSize of {name} is one of {listed}: other sizes do not fit its devices, or fail on them",
            chosen,
            at("llm.tensorParallelSize", {"not": {"enum": [0, *sizes]}}),
        )
    ]
    if profile["needs_compile"]:
        rules.append(
            _forbidden(
                f"llm.model.revision is missing: on {name} compiled artefacts are keyed by it", chosen, at("llm.model.revision", EMPTY)
            )
        )
    if profile["device_resource"]:
        sentence = (
            f"artefacts.accessMode is ReadWriteOnce, but {name} runs on other nodes than the services: "
            "take ReadWriteMany, or name an artefacts.existingClaim"
        )
        rules.append(
            _forbidden(sentence, chosen, at("artefacts.accessMode", {"const": "ReadWriteOnce"}), at("artefacts.existingClaim", EMPTY))
        )
    return rules
