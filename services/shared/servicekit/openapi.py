"""Describes bodies that a handler reads itself, which FastAPI can not see. Knows no particular body."""

from typing import Any


def in_place(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with its parts where they are referred to, because nothing else names them in the document."""
    parts = schema.get("$defs", {})

    def placed(value: Any) -> Any:
        if isinstance(value, dict):
            named = parts[value["$ref"].rsplit("/", 1)[1]] if "$ref" in value else value
            return {key: placed(part) for key, part in named.items() if key != "$defs"}
        return [placed(part) for part in value] if isinstance(value, list) else value

    whole: dict[str, Any] = placed(schema)
    return whole


def takes(content: dict[str, Any]) -> dict[str, Any]:
    """The `openapi_extra` of a route that takes a body; `content` maps each media type to its `schema` and what else is said of it."""
    return {"requestBody": {"required": True, "content": content}}
