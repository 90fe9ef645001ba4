"""The objects of the small API server: kept in memory, selected by labels and fields. Knows nothing of HTTP or of what kinds mean."""

import copy
import threading
import uuid
from typing import Any

Object = dict[str, Any]
Key = tuple[str, str, str]


class Refused(Exception):
    """What the API answers instead of an object: HTTP code, reason and message as in a Status."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason = code, reason

    def status(self) -> Object:
        failure = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        return failure | {"message": str(self), "reason": self.reason, "code": self.code}


def matches(labels: dict[str, str], selector: str) -> bool:
    """Whether labels fit a selector of `key=value` terms."""
    return all(labels.get(term.split("=")[0]) == term.split("=")[1] for term in selector.split(",") if term)


def merge(into: Object, patch: Object) -> None:
    """JSON merge patch (RFC 7396): null removes, objects are merged, all else is replaced."""
    for key, value in patch.items():
        if value is None:
            into.pop(key, None)
        elif isinstance(value, dict) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value


class Objects:
    """Every object by resource, namespace and name. Callers get copies; `lock` makes several calls one."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._stored: dict[Key, Object] = {}

    def add(self, resource: str, namespace: str, body: Object) -> Object:
        key = (resource, namespace, body["metadata"]["name"])
        with self.lock:
            if key in self._stored:
                raise Refused(409, "AlreadyExists", f'{resource} "{key[2]}" already exists')
            named = body["metadata"] | ({"namespace": namespace} if namespace else {})
            stored = body | {"metadata": named | {"uid": str(uuid.uuid4()), "resourceVersion": "1", "generation": 1}}
            self._stored[key] = copy.deepcopy(stored)
            return copy.deepcopy(stored)

    def get(self, resource: str, namespace: str, name: str) -> Object:
        with self.lock:
            if (found := self._stored.get((resource, namespace, name))) is None:
                raise Refused(404, "NotFound", f'{resource} "{name}" not found')
            return copy.deepcopy(found)

    def select(self, resource: str, namespace: str = "", labels: str = "", fields: str = "") -> list[Object]:
        """The objects that both selectors match; of fields, those that `kubectl` asks for are known."""
        with self.lock:
            found = [
                one
                for (kind, space, _), one in self._stored.items()
                if kind == resource and namespace in ("", space) and matches(one["metadata"].get("labels", {}), labels)
            ]
            for term in filter(None, fields.split(",")):
                field, value = term.split("=")
                outer, inner = field.split(".")
                found = [one for one in found if one.get(outer, {}).get(inner) == value]
            return copy.deepcopy(found)

    def merge(self, resource: str, namespace: str, name: str, patch: Object) -> Object:
        with self.lock:
            self.get(resource, namespace, name)
            merge(self._stored[resource, namespace, name], copy.deepcopy(patch))
            return self.get(resource, namespace, name)

    def remove(self, resource: str, namespace: str, name: str) -> None:
        with self.lock:
            self._stored.pop((resource, namespace, name), None)
