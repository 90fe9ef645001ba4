"""The demo leaves no process behind."""

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def heard() -> Iterator[None]:
    """Ctrl-C is heard by what is started inside, also when these tests are a background job of a shell, whose children ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ending_the_demo_early_stops_every_child(tmp_path: Path, number: int) -> None:
    command = [sys.executable, "-u", "-m", "pipelines", "demo", "--state", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as demo:
        assert demo.stdout
        ports = [int(port) for port in re.findall(r"on port (\d+)", demo.stdout.readline())]
        assert len(ports) == 4
        demo.stdout.readline()  # all four are ready
        demo.send_signal(number)
        demo.communicate(timeout=60)
    assert demo.returncode != 0  # it had not shown what it was asked for
    for port in ports:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
