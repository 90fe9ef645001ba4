"""Refuses what a gate refuses where requests are parsed, before anything is made of them. Knows nothing of what is served.

At several times of what a process can serve the refusals are most of its work (docs/decisions/0001-http-stack.md).
"""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from servicekit.middleware import ID_HEADER, LET_IN, Traffic

STATUS = b"HTTP/1.1 429 Too Many Requests\r\n"


class Entrance(HttpToolsProtocol):
    """One connection. What is refused here is answered as `RequestMiddleware` would, and its body is passed over."""

    traffic: Traffic
    _passing_over = False

    def on_headers_complete(self) -> None:
        """Answers at once, or lets uvicorn go on."""
        path, _, _ = self.url.partition(b"?")
        place = self.parser.get_method().decode("ascii"), path.decode("latin-1")
        free = self.cycle is None or self.cycle.response_complete  # else answers would change places
        if place not in self.traffic.gates or not free or self.parser.should_upgrade():
            return super().on_headers_complete()
        if (why := self.traffic.too_many(place)) is not None:
            self._passing_over = True
            return self._refuse(*place, why)
        self.scope[LET_IN] = True  # type: ignore[literal-required]
        super().on_headers_complete()
        self.traffic.coming += 1
        self.loop.call_soon(self.traffic.arrived)  # behind its task, which runs up to where it waits
        return None

    def on_body(self, body: bytes) -> None:
        """Of a request that was let in."""
        if not self._passing_over:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The connection waits for its next request."""
        if not self._passing_over:
            return super().on_message_complete()
        self._passing_over = False
        if not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)
        return None

    def _refuse(self, method: str, path: str, why: str) -> None:
        sent_id = next((value for name, value in self.headers if name == ID_HEADER), b"")
        headers, body = self.traffic.refused(method, path, sent_id, why)
        last = (b"connection", b"close") in headers
        if not last and not self.parser.should_keep_alive():
            last = True
            headers.append((b"connection", b"close"))
        lines = b"".join(b"%b: %b\r\n" % header for header in (*self.server_state.default_headers, *headers))
        self.transport.write(STATUS + lines + b"\r\n" + body)
        self.server_state.total_requests += 1
        if last:
            self.transport.close()


def entrance(traffic: Traffic) -> type[Entrance]:
    """The protocol of a process whose `traffic` this is."""
    return type("Entrance", (Entrance,), {"traffic": traffic})
