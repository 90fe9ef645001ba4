"""A served process drains on SIGTERM and ends with status 0."""

import signal
import socket
import subprocess
import sys
import threading
import time

import httpx2
import pytest

PROGRAM = """
import asyncio
import gc
from contextlib import asynccontextmanager
from servicekit.app import Route, build
from servicekit.metrics import HttpMetrics
from servicekit.serve import serve
from servicekit.settings import ServiceSettings

class Settings(ServiceSettings, env_prefix="TESTED_"):
    pass

async def slow() -> dict[str, int]:
    await asyncio.sleep(0.5)
    return {"slow": 1}

async def frozen() -> dict[str, int]:
    return {"objects": gc.get_freeze_count()}

async def ready() -> None:
    pass

@asynccontextmanager
async def lifespan(app):
    yield

def make(settings):
    routes = [Route("GET", "/slow", slow), Route("GET", "/frozen", frozen)]
    return build("encoder", settings, routes=routes, statuses={}, ready=ready, lifespan=lifespan, metrics=HttpMetrics("encoder"))

serve("encoder", Settings, make)
"""


@pytest.mark.parametrize("delay_s", ["0", "0.4"])
def test_sigterm_turns_readiness_off_answers_what_is_in_flight_and_ends_with_status_0(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, delay_s: str
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("TESTED_PORT", str(port))
    monkeypatch.setenv("TESTED_STATE_DIR", str(tmp_path_factory.mktemp("state")))
    monkeypatch.setenv("TESTED_DRAIN_DELAY_S", delay_s)
    with subprocess.Popen([sys.executable, "-c", PROGRAM]) as process, httpx2.Client(base_url=f"http://127.0.0.1:{port}") as client:
        while True:
            try:
                assert client.get("/readyz").status_code == 200
                break
            except httpx2.TransportError:
                assert process.poll() is None
                time.sleep(0.05)
        assert client.get("/frozen").json()["objects"] > 20_000  # which no collection of garbage looks at
        answers: list[int] = []
        asker = threading.Thread(target=lambda: answers.append(httpx2.get(f"http://127.0.0.1:{port}/slow").status_code))
        asker.start()
        while "requests_in_flight 1.0" not in client.get("/metrics").text:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        if delay_s != "0":
            time.sleep(0.1)
            refused = client.get("/readyz")  # on a kept connection, which the answer ends before the listener closes
            assert (refused.status_code, refused.headers["connection"]) == (503, "close")
        asker.join()
        assert answers == [200]
        assert process.wait(20) == 0
