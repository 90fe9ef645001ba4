"""The one ASGI middleware: request id, admission, body limit, timings, metrics, the end of connections. Knows nothing of what is served."""

import re
import time
from collections.abc import Callable
from contextlib import suppress

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from servicekit import context, problems
from servicekit.metrics import HttpMetrics

ALWAYS_ADMITTED = ("/livez", "/readyz", "/metrics")
LINES = ("ndjson", "jsonl")
"""Media types of bodies that are read line by line, and may be long."""
ANSWERS_PER_CLOSE = 256
"""Every so many answers one closes its connection: a caller that keeps connections would else never reach a replica that joined later."""
CALLER_LEFT = 499
"""What a request is counted as whose caller was gone before an answer began (nginx's convention): no failure of the service."""
_SAFE_ID = re.compile(r"^[A-Za-z0-9._:-]{1,128}$")


class BodyTooLarge(Exception):
    """More bytes came than the service takes."""


class RequestMiddleware:
    """Pure ASGI, because `BaseHTTPMiddleware` costs a quarter of a millisecond a request.

    While `draining` is true every answer closes its connection (RFC 9112, section 9.6), so that when the listener closes no caller
    still keeps one that it would send its next request on.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: HttpMetrics,
        draining: Callable[[], bool],
        max_in_flight: int,
        max_json_bytes: int,
        max_lines_bytes: int,
    ) -> None:
        self.app, self.metrics, self.draining = app, metrics, draining
        self.max_in_flight, self.max_json_bytes, self.max_lines_bytes = max_in_flight, max_json_bytes, max_lines_bytes
        self.in_flight = self.answered = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        sent_id = Headers(scope=scope).get(context.REQUEST_ID_HEADER, "")
        context.request_id.set(sent_id if _SAFE_ID.match(sent_id) else context.new_request_id())
        context.stage_timings.set(timings := {})
        started, status = time.perf_counter(), 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[context.REQUEST_ID_HEADER] = context.request_id.get()
                timings["total"] = (time.perf_counter() - started) * 1_000
                headers["server-timing"] = ", ".join(f"{name};dur={ms:.2f}" for name, ms in timings.items())
                self.answered += 1
                if self.draining() or self.answered % ANSWERS_PER_CLOSE == 0:
                    headers["connection"] = "close"
            await send(message)

        counted = scope["path"] not in ALWAYS_ADMITTED
        self.in_flight += counted
        self.metrics.in_flight.set(self.in_flight)
        try:
            await self._admit(scope, receive, send_with_headers, counted)
            status = status or CALLER_LEFT
        finally:
            self.in_flight -= counted
            self.metrics.in_flight.set(self.in_flight)
            route = getattr(scope.get("route"), "path", "unmatched")
            self.metrics.requests.labels(scope["method"], route, status or 500).inc()
            self.metrics.duration.labels(route).observe(time.perf_counter() - started)

    async def _admit(self, scope: Scope, receive: Receive, send: Send, counted: bool) -> None:
        if counted and self.in_flight > self.max_in_flight:
            self.metrics.overloaded.inc()
            detail = f"{self.max_in_flight} requests are being worked on already; try again in a second."
            refusal = problems.response(429, "overloaded", detail, path=scope["path"], headers={"retry-after": "1"})
            return await refusal(scope, receive, send)
        headers = Headers(scope=scope)
        lines = any(kind in headers.get("content-type", "") for kind in LINES)
        limit = self.max_lines_bytes if lines else self.max_json_bytes
        started = too_large = False
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

        declared = headers.get("content-length", "0")
        if declared.isdigit() and int(declared) > limit:
            too_large = True
        else:
            with suppress(ClientDisconnect, BodyTooLarge):
                await self.app(scope, receive_bounded, send_unless_too_large)
        if too_large and not started:
            detail = f"The body is larger than {limit} bytes; send it in smaller parts."
            refusal = problems.response(413, "body-too-large", detail, path=scope["path"], headers={"connection": "close"})
            await refusal(scope, receive, send)
