"""The one ASGI middleware: request id, admission, body limit, timings, metrics, the end of connections. Knows nothing of what is served."""

import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from servicekit import context, problems
from servicekit.metrics import HttpMetrics

ALWAYS_ADMITTED = ("/livez", "/readyz", "/metrics")
LINES = (b"ndjson", b"jsonl")
"""Media types of bodies that are read line by line, and may be long."""
ANSWERS_PER_CLOSE = 256
"""Every so many answers one closes its connection: a caller that keeps connections would else never reach a replica that joined later."""
CALLER_LEFT = 499
"""What a request is counted as whose caller was gone before an answer began (nginx's convention): no failure of the service."""
UNMATCHED = "unmatched"
LET_IN = "warmstart.let_in"
"""In the scope of requests whose gate was asked before."""
Gate = Callable[[int], str | None]
"""Says why requests of one route are refused just now, or None; it is told how many were let in and have not begun yet.

Asked for every request before anything else, so it must be quick.
"""
ID_HEADER = context.REQUEST_ID_HEADER.encode()
_SAFE_ID = re.compile(rb"^[A-Za-z0-9._:-]{1,128}$")
_NO_ID = "@"


class BodyTooLarge(Exception):
    """More bytes came than the service takes."""


@dataclass
class Traffic:
    """What holds for all requests of a process, however they are served. `gates` by method and path.

    While `draining` is true every answer closes its connection (RFC 9112, section 9.6), so that when the listener closes no caller
    still keeps one that it would send its next request on.
    """

    metrics: HttpMetrics
    draining: Callable[[], bool]
    max_in_flight: int
    max_json_bytes: int
    max_lines_bytes: int
    gates: Mapping[tuple[str, str], Gate] = field(default_factory=dict)
    in_flight: int = 0
    coming: int = 0
    """Requests for gated routes that were let in and have not begun."""
    answered: int = 0

    def __post_init__(self) -> None:
        self.metrics.in_flight.set_function(lambda: self.in_flight)

    def too_many(self, place: tuple[str, str]) -> str | None:
        """Why one more request for `place` is refused; None when it is not."""
        if self.in_flight >= self.max_in_flight:
            return f"{self.max_in_flight} requests are being worked on already; try again in a second."
        gate = self.gates.get(place)
        return gate(self.coming) if gate else None

    def refused(self, method: str, path: str, sent_id: bytes, why: str) -> tuple[list[tuple[bytes, bytes]], bytes]:
        """Headers and body of a 429, which is counted. As little as can be done: what is overloaded must have time left to serve."""
        started, request_id = time.perf_counter(), _id_of(sent_id).encode()
        before, after = _refusal(why, path)
        body = before + request_id + after
        headers = [
            (b"content-type", problems.MEDIA_TYPE.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"retry-after", b"1"),
            (ID_HEADER, request_id),
        ]
        if self.closing():
            headers.append((b"connection", b"close"))
        self.metrics.overloaded.inc()
        self.metrics.count(method, path if (method, path) in self.gates else UNMATCHED, 429, time.perf_counter() - started)
        return headers, body

    def arrived(self) -> None:
        """One of those that were coming has begun."""
        self.coming -= 1

    def closing(self) -> bool:
        """Whether the next answer ends its connection; to be asked once for each."""
        self.answered += 1
        return self.draining() or self.answered % ANSWERS_PER_CLOSE == 0

    def limit(self, headers: Mapping[bytes, bytes]) -> int:
        """Of the body, in bytes."""
        media_type = headers.get(b"content-type", b"")
        return self.max_lines_bytes if any(kind in media_type for kind in LINES) else self.max_json_bytes


class RequestMiddleware:
    """Pure ASGI, because `BaseHTTPMiddleware` costs a quarter of a millisecond a request."""

    def __init__(self, app: ASGIApp, traffic: Traffic) -> None:
        self.app, self.traffic = app, traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers, traffic = dict(scope["headers"]), self.traffic
        sent_id = headers.get(ID_HEADER, b"")
        counted = scope["path"] not in ALWAYS_ADMITTED
        if counted and LET_IN not in scope and (why := traffic.too_many((scope["method"], scope["path"]))) is not None:
            refused, body = traffic.refused(scope["method"], scope["path"], sent_id, why)
            await send({"type": "http.response.start", "status": 429, "headers": refused})
            return await send({"type": "http.response.body", "body": body})
        context.request_id.set(request_id := _id_of(sent_id))
        context.stage_timings.set(timings := {})
        started, status = time.perf_counter(), 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                timings["total"] = (time.perf_counter() - started) * 1_000
                told = ", ".join([f"{name};dur={ms:.2f}" for name, ms in timings.items()])
                added = [(ID_HEADER, request_id.encode()), (b"server-timing", told.encode())]
                if traffic.closing():
                    added.append((b"connection", b"close"))
                message["headers"] = [*message.get("headers", ()), *added]
            await send(message)

        traffic.in_flight += counted
        try:
            await self._bounded(scope, headers, receive, send_with_headers)
            status = status or CALLER_LEFT
        finally:
            traffic.in_flight -= counted
            route = getattr(scope.get("route"), "path", UNMATCHED)
            traffic.metrics.count(scope["method"], route, status or 500, time.perf_counter() - started)

    async def _bounded(self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive, send: Send) -> None:
        limit, declared = self.traffic.limit(headers), headers.get(b"content-length", b"")
        too_large = declared.isdigit() and int(declared) > limit
        started = False
        received = 0

        async def receive_bounded() -> Message:
            nonlocal received, too_large
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                too_large = True
                raise BodyTooLarge
            return message

        async def send_unless_too_large(message: Message) -> None:
            nonlocal started
            if not too_large or started:  # whatever the application makes of BodyTooLarge, the caller gets the 413 below
                started = True
                await send(message)

        if not too_large:
            with suppress(ClientDisconnect, BodyTooLarge):
                await self.app(scope, receive_bounded, send_unless_too_large)
        if too_large and not started:
            detail = f"The body is larger than {limit} bytes; send it in smaller parts."
            refusal = problems.response(413, "body-too-large", detail, path=scope["path"], headers={"connection": "close"})
            await refusal(scope, receive, send)


def _id_of(sent: bytes) -> str:
    """The request's own id where it is one, else a new one."""
    return sent.decode() if _SAFE_ID.match(sent) else context.new_request_id()


@lru_cache(64)
def _refusal(why: str, path: str) -> tuple[bytes, bytes]:
    """What stands before and after the request's id in the problem."""
    before, after = problems.rendered(429, "overloaded", why, _NO_ID, path=path).rsplit(f'"{_NO_ID}"', 1)
    return f'{before}"'.encode(), f'"{after}'.encode()
