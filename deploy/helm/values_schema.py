"""Makes values.schema.json (JSON Schema 2020-12) from the defaults, the rules, the settings classes and the runtime profiles.

Knows how they fit together, none of their content.
"""

import importlib
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from servicekit import openapi
from values_rules import ABSENT, OWNED, REFINED, SHAPES, Schema
from values_together import together

TYPES = {bool: "boolean", int: "integer", float: "number", str: "string"}
KEPT = (
    "type",
    "enum",
    "const",
    "pattern",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "description",
    "properties",
    "additionalProperties",
)


class Undescribed(Exception):
    """A default says too little about what may stand there; the message names the key."""


def _object(properties: Mapping[str, Schema]) -> Schema:
    return {"type": "object", "additionalProperties": False, "properties": dict(properties)}


def _setting(described: Mapping[str, Any]) -> Schema:
    """A field of pydantic's schema without what only pydantic means; of an optional one the part that is not null."""
    parts = [part for part in described.get("anyOf", []) if part.get("type") != "null"]
    kept = {name: value for name, value in {**described, **(parts[0] if parts else {})}.items() if name in KEPT}
    if isinstance(inner := kept.get("additionalProperties"), dict):
        kept["additionalProperties"] = _setting(inner)
    if "properties" in kept:
        kept["properties"] = {name: _setting(inner) for name, inner in kept["properties"].items()}
    return kept


def settings(service: str) -> Schema:
    """What `services.<service>.settings` may hold: the fields of its settings class, but for those that the chart owns."""
    fields = openapi.in_place(importlib.import_module(f"{service}.settings").Settings.model_json_schema())["properties"]
    return _object({name: {"const": OWNED[name]} if name in OWNED else _setting(field) for name, field in fields.items()})


def _schema(path: str, default: Any, comments: Mapping[str, str]) -> Schema:
    described = {"description": text} if (text := comments.get(path)) else {}
    if path.startswith("services.") and path.endswith(".settings"):
        return {**described, **settings(path.split(".")[1])}
    for pattern, whole in SHAPES:
        if fnmatchcase(path, pattern):
            return {**described, **whole}
    if isinstance(default, dict) and default:
        absent = {key: {"const": sentence} for key, sentence in ABSENT.get(path, {}).items()}
        return {**described, **_object({**{key: _schema(f"{path}.{key}", value, comments) for key, value in default.items()}, **absent})}
    if type(default) not in TYPES:
        raise Undescribed(f"{path}: an empty {type(default).__name__} needs a line in SHAPES of values_rules.py")
    refinements = [extra for pattern, extra in REFINED if fnmatchcase(path, pattern)]
    merged: Schema = {**described, "type": TYPES[type(default)]}
    for extra in refinements:
        merged = {**merged, "allOf": [*merged.get("allOf", []), extra]} if "if" in extra else {**merged, **extra}
    return merged


def schema(values: Mapping[str, Any], comments: Mapping[str, str], profiles: dict[str, Any]) -> Schema:
    """The whole schema; raises `Undescribed`."""
    properties = {key: _schema(key, value, comments) for key, value in values.items()}
    properties["llm"]["properties"]["profile"]["enum"] = ["", *profiles]
    properties["global"] = {"type": "object", "description": "Set by Helm when this chart is part of another; not read."}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_object(properties), "allOf": together(profiles)}
