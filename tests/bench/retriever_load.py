"""A cheap HTTP/1.1 client that keeps connections and times every answer. Knows nothing of what it asks.

One thread, one epoll, requests rendered beforehand: it costs some 30 microseconds of CPU an answer, which `Outcome.client_cpu_s` tells, so
that on two cores little is taken from the server. Closed loop: each connection asks again once it is answered. Open loop: requests are
due at random instants whatever the server does, and a latency counts from the instant it was due.
"""

import selectors
import socket
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

BUFFER = 2**18


def request(method: str, path: str, body: bytes = b"", media_type: str = "application/json") -> bytes:
    """A whole request; the host is the local machine."""
    head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: {media_type}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


@dataclass
class Answer:
    """`place`: which of the requests; `latency_s` from when it was due; `at_s` since the start."""

    place: int
    status: int
    latency_s: float
    at_s: float
    head: bytes
    body: bytes


@dataclass
class Outcome:
    answers: list[Answer] = field(default_factory=list)
    seconds: float = 0.0
    client_cpu_s: float = 0.0

    def latencies_ms(self, status: int = 200) -> NDArray[np.float64]:
        return np.array([1_000 * answer.latency_s for answer in self.answers if answer.status == status])

    def per_second(self, status: int = 200) -> float:
        return sum(answer.status == status for answer in self.answers) / self.seconds

    @property
    def client_share(self) -> float:
        """Of one core, that the client itself took."""
        return self.client_cpu_s / self.seconds

    def refused(self) -> list[str]:
        """Statuses that are not 200, with the beginning of one body each."""
        return [
            f"{a.status}: {a.body[:200].decode(errors='replace')}" for a in {a.status: a for a in self.answers if a.status != 200}.values()
        ]


class Connection:
    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.place, self.due, self._out, self._in, self._needed, self._head = -1, 0.0, memoryview(b""), bytearray(), -1, 0

    def ask(self, place: int, due: float, whole: bytes) -> bool:
        """Sends what the socket takes; False when more must be sent later."""
        self.place, self.due, self._out = place, due, memoryview(whole)
        self._in, self._needed = bytearray(), -1
        return self.send()

    def send(self) -> bool:
        try:
            while len(self._out):
                self._out = self._out[self.socket.send(self._out) :]
        except BlockingIOError:
            return False
        return True

    def receive(self) -> tuple[int, bytes, bytes] | None:
        """Status, head and body once the answer is whole."""
        try:
            portion = self.socket.recv(BUFFER)
        except BlockingIOError:
            return None
        if not portion:
            raise ConnectionError("The server closed a connection before it answered; its log says why.")
        self._in += portion
        if self._needed < 0:
            if (end := self._in.find(b"\r\n\r\n")) < 0:
                return None
            head = bytes(self._in[:end]).lower()
            self._head = end + 4
            self._needed = self._head + int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        if len(self._in) < self._needed:
            return None
        return int(self._in[9:12]), bytes(self._in[: self._head]).lower(), bytes(self._in[self._head :])


class Load:
    """Connections to one port; a context manager. `keep` stores the bodies of answers, else only their times."""

    def __init__(self, port: int, connections: int, keep: bool = True) -> None:
        self._selector, self._port, self._keep = selectors.DefaultSelector(), port, keep
        self._idle = deque(self._opened() for _ in range(connections))

    def _opened(self) -> Connection:
        connection = Connection(self._port)
        self._selector.register(connection.socket, selectors.EVENT_READ, connection)
        return connection

    def _again(self, connection: Connection, head: bytes) -> Connection:
        """The connection, or a new one where the server closes it, as it does after so many answers."""
        if b"\r\nconnection: close" not in head:
            return connection
        self._selector.unregister(connection.socket)
        connection.socket.close()
        return self._opened()

    def closed(self, requests: Sequence[bytes], count: int = 0, seconds: float = 0.0) -> Outcome:
        """Each connection asks as soon as it is answered, until `count` requests (all once by default) or `seconds` are over."""
        wanted = count or len(requests)
        return self._run(requests, np.zeros(wanted) if not seconds else None, seconds)

    def paced(self, requests: Sequence[bytes], rate: float, seconds: float, seed: int = 0) -> Outcome:
        """`rate` requests a second in the mean, at the random instants of a Poisson process."""
        gaps = np.random.default_rng(seed).exponential(1 / rate, round(rate * seconds))
        return self.at(requests, np.cumsum(gaps))

    def at(self, requests: Sequence[bytes], due: NDArray[np.float64]) -> Outcome:
        """One request at each instant of `due`, in seconds from now, ascending."""
        return self._run(requests, due, 0.0)

    def _run(self, requests: Sequence[bytes], due: NDArray[np.float64] | None, seconds: float) -> Outcome:
        outcome, cpu, start, asked = Outcome(), time.thread_time(), time.perf_counter(), 0
        in_all, idle, closed = len(due) if due is not None else 2**60, self._idle, due is None or not due.any()
        while True:
            now = time.perf_counter() - start
            if seconds and now > seconds:
                in_all = min(in_all, asked)
            while asked < in_all and idle and (closed or (due is not None and due[asked] <= now)):
                self._ask(idle.popleft(), asked, now if closed or due is None else float(due[asked]), requests)
                asked += 1
            if len(outcome.answers) >= in_all:
                break
            wait = 1.0 if closed or asked >= in_all or not idle or due is None else max(0.0, float(due[asked]) - now)
            self._collect(wait, start, len(requests), outcome)
        outcome.seconds, outcome.client_cpu_s = time.perf_counter() - start, time.thread_time() - cpu
        return outcome

    def _ask(self, connection: Connection, place: int, due: float, requests: Sequence[bytes]) -> None:
        if not connection.ask(place, due, requests[place % len(requests)]):
            self._selector.modify(connection.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, connection)

    def _collect(self, wait: float, start: float, kinds: int, outcome: Outcome) -> None:
        for key, events in self._selector.select(wait):
            connection: Connection = key.data
            if events & selectors.EVENT_WRITE and connection.send():
                self._selector.modify(connection.socket, selectors.EVENT_READ, connection)
            if events & selectors.EVENT_READ and (whole := connection.receive()):
                status, head, body = whole
                now = time.perf_counter() - start
                kept = (head, body) if self._keep or status != 200 else (b"", b"")
                outcome.answers.append(Answer(connection.place % kinds, status, now - connection.due, now, *kept))
                self._idle.append(self._again(connection, head))

    def __enter__(self) -> "Load":
        return self

    def __exit__(self, *_: Any) -> None:
        for key in list(self._selector.get_map().values()):
            key.data.socket.close()
        self._selector.close()
