"""What values.yaml can not say: which values are legal. Knows the keys, not how schema or README are written, nor what goes together.

A sentence is put into the schema as the constant that the value is not, so that Helm's refusal tells the reason and the remedy.
"""

from typing import Any

Schema = dict[str, Any]

STRING_MAP: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
STRINGS: Schema = {"type": "array", "items": {"type": "string", "minLength": 1}}
QUANTITY: Schema = {"type": ["string", "number"], "pattern": r"^[0-9.]+(m|[kMGTPE]i?)?$"}
ROOM: Schema = {"type": "object", "additionalProperties": QUANTITY}
TOLERATION: Schema = {
    "type": "object",
    "additionalProperties": False,
    "properties": {name: {"type": "string"} for name in ("key", "operator", "value", "effect")}
    | {"tolerationSeconds": {"type": "integer"}},
}
PEER: Schema = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": False,
    "properties": {name: {"type": "object"} for name in ("podSelector", "namespaceSelector", "ipBlock")},
}
PARENT: Schema = {
    "type": "object",
    "required": ["name"],
    "additionalProperties": False,
    "properties": {name: {"type": "string"} for name in ("name", "namespace", "sectionName", "group", "kind")}
    | {"port": {"type": "integer"}},
}
CLASS_NAME: Schema = {"type": "string", "pattern": r"^[a-z0-9.-]*$"}


def unless(legal: Schema, sentence: str) -> Schema:
    """`legal`, or refused with the sentence."""
    return {"if": legal, "else": {"const": sentence}}


def array(of: Schema) -> Schema:
    return {"type": "array", "items": of}


SHAPES: tuple[tuple[str, Schema], ...] = (
    ("*resources", {"type": "object", "additionalProperties": False, "properties": {"requests": ROOM, "limits": ROOM}}),
    ("*nnotations", STRING_MAP),
    ("*.labels", STRING_MAP),
    ("llm.autoscaling.authentication.metadata", STRING_MAP),
    ("*nodeSelector", STRING_MAP),
    ("*tolerations", array(TOLERATION)),
    ("networkPolicy.*From", array(PEER)),
    ("networkPolicy.*To", array(PEER)),
    ("httpRoute.parentRefs", array(PARENT)),
    ("httpRoute.hostnames", STRINGS),
    ("image.pullSecrets", STRINGS),
    ("services.encoder.neuron.compile.rows", array({"type": "integer", "minimum": 1, "maximum": 256}) | {"minItems": 1}),
    ("services.encoder.neuron.compile.lengths", array({"type": "integer", "minimum": 8, "maximum": 8192})),
    ("llm.capabilities", array({"type": "string", "pattern": "^[A-Z_]+$"})),
)
"""Whole schemas by the end of a key, where the default is empty or the value is free."""

REFINED: tuple[tuple[str, Schema], ...] = (
    ("*eplicas", {"minimum": 1}),
    ("*cpuPercent", {"minimum": 1, "maximum": 100}),
    ("services.retriever.readers.replicas", {"minimum": 0}),
    ("services.encoder.neuron.chips", {"minimum": 0, "maximum": 16}),
    (
        "services.encoder.neuron.device",
        unless({"pattern": "^(inf2|trn1|trn1n|trn2)/(fp32|bf16)$"}, "a kind of chip and a precision, such as inf2/bf16 or trn1/bf16"),
    ),
    (
        "services.encoder.neuron.model",
        unless({"pattern": "^(/artefacts/.+[^/])?$"}, "a folder below /artefacts, where the volume is mounted: pods download nothing"),
    ),
    ("*.port", {"minimum": 1, "maximum": 65535}),
    ("*.size", {"pattern": r"^[0-9]+(Ki|Mi|Gi|Ti)$"}),
    ("*storageClass", CLASS_NAME),
    ("*Secret", CLASS_NAME),
    ("drain.*", {"minimum": 0, "maximum": 600}),
    ("*requestsPerReplica", {"minimum": 1}),
    ("*cooldownSeconds", {"minimum": 0, "maximum": 3600}),
    ("llm.max*", {"minimum": 0}),
    ("llm.url", {"pattern": "^(https?://[^/].*)?$"}),
    ("*Url", {"pattern": "^(https?://[^/].*)?$"}),
    (
        "llm.model.path",
        unless({"pattern": "^(/artefacts/.+)?$"}, "a folder below /artefacts, where the volume is mounted: pods download nothing"),
    ),
    ("llm.model.*", unless({"pattern": r"^[^{}\s]*$"}, "a plain name: braces and white space would change the command line")),
    ("llm.schedulerName", CLASS_NAME),
    ("llm.runtimeClassName", CLASS_NAME),
    ("llm.autoscaling.authentication.name", CLASS_NAME),
    ("bootstrap.source", unless({"pattern": "^(sample|/artefacts/.+)$"}, "`sample`, or a folder below /artefacts with items.ndjson")),
    ("cronJobs.*.schedule", unless({"pattern": r"^\S+( \S+){4}$"}, "five fields of cron, such as `17 3 * * *`; the time is UTC")),
    ("image.digests.*", {"pattern": "^(sha256:[0-9a-f]{64})?$"}),
    ("services.encoder.neuron.image.digest", {"pattern": "^(sha256:[0-9a-f]{64})?$"}),
    ("llm.image.digest", {"pattern": "^(sha256:[0-9a-f]{64})?$"}),
    (
        "*.tag",
        unless({"not": {"const": "latest"}}, "a tag that stays what it is: with `latest` two pods of one Deployment may run two versions"),
    ),
    (
        "image.registry",
        unless({"minLength": 1}, "the prefix of your images, such as 123456789012.dkr.ecr.eu-west-1.amazonaws.com/warmstart"),
    ),
    ("image.pullPolicy", {"enum": ["IfNotPresent", "Always", "Never"]}),
    ("services.*.persistence.accessMode", {"enum": ["ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany"]}),
    (
        "services.gateway.persistence.accessMode",
        unless({"not": {"const": "ReadWriteOncePod"}}, "ReadWriteOnce: a rollout needs a second gateway on the volume at once"),
    ),
    ("artefacts.accessMode", {"enum": ["ReadWriteOnce", "ReadWriteMany"]}),
    ("topologySpread.whenUnsatisfiable", {"enum": ["ScheduleAnyway", "DoNotSchedule"]}),
    ("priorityClass.value", {"maximum": 1_000_000_000}),
    ("fullnameOverride", {"pattern": "^([a-z]([a-z0-9-]*[a-z0-9])?)?$"}),
    ("services.retriever.replicas", unless({"const": 1}, "1: one process owns the items, a second would serve and lose others")),
)

ABSENT = {
    "services.retriever": {
        "autoscaling": "absent: one process owns the items, so the retriever does not scale; its services.retriever.readers do"
    },
    "llm": {"env": "absent: what vLLM needs comes from the runtime profile; WORLD_SIZE and its like would make it hang"},
}
"""Keys that people look for, with the reason why there are none."""

OWNED = {
    "host": "not a setting here: in a pod it is 0.0.0.0",
    "port": "not a setting here: ports of containers and Services are fixed",
    "state_dir": "not a setting here: the volume is mounted at /state",
    "drain_delay_s": "set as drain.delaySeconds, from which the grace period is made",
    "drain_timeout_s": "set as drain.timeoutSeconds, from which the grace period is made",
    "encoder_url": "not a setting here: the Service of this release",
    "expander_url": "not a setting here: the Service of this release",
    "retriever_url": "not a setting here: the Service of this release",
    "follow_url": "not a setting here: services.retriever.readers follow settings.publish_url",
    "milvus_url": "a secret: name a Secret in milvus.existingSecret",
    "cache_url": "a secret: name a Secret in redis.existingSecret",
    "profiles_url": "a secret: name a Secret in postgresql.existingSecret",
    "topics_path": "not a setting here: /artefacts/topics.json, where the refresh job writes it",
    "llm_url": "set as llm.url, with llm.profile external",
    "llm_model": "set as llm.model.name",
    "llm_profile": "set as llm.profile",
    "llm_api_key": "a secret: name a Secret in llm.existingSecret",
}
"""Settings of services.<service>.settings that the chart makes from something else, with what to do instead."""
