"""One request to a served model. Knows nothing of what is asked for."""

import contextlib
import http.client
import json
import urllib.parse
from typing import Any

from expander.runtimes.errors import ServerSilent

MAX_ANSWER_BYTES = 4 * 2**20


def post(url: str, path: str, body: dict[str, Any], timeout_s: float) -> tuple[int, bytes]:
    """Status and body of the answer to `body` as JSON at `url` + `path`; raises `ServerSilent` when none came."""
    return _answer("POST", url.rstrip("/") + path, json.dumps(body), timeout_s)


def get(url: str, timeout_s: float) -> tuple[int, bytes]:
    """Status and body of the answer at `url`; raises `ServerSilent` when none came."""
    return _answer("GET", url, None, timeout_s)


def _answer(method: str, url: str, body: str | None, timeout_s: float) -> tuple[int, bytes]:
    parts = urllib.parse.urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    try:
        with contextlib.closing(kind(parts.hostname or "", parts.port, timeout=timeout_s)) as connection:
            connection.request(method, parts.path, body, {"content-type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read(MAX_ANSWER_BYTES)
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise ServerSilent(f"{url} could not be asked ({type(error).__name__}: {error})") from error
