"""No library of a running service reports to its maker, or keeps an identity to do it with."""

import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest

from pipelines.suite import free_ports


def test_a_started_encoder_leaves_nothing_in_its_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home, (port,) = tmp_path / "home", free_ports(1)
    home.mkdir()
    for name, value in {"HOME": home, "ENCODER_PORT": port, "ENCODER_STATE_DIR": tmp_path / "state"}.items():
        monkeypatch.setenv(name, str(value))
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "ORT_DISABLE_TELEMETRY"):
        monkeypatch.delenv(name, raising=False)
    with subprocess.Popen([sys.executable, "-m", "encoder"]) as process, httpx2.Client(base_url=f"http://127.0.0.1:{port}") as client:
        try:
            while True:
                assert process.poll() is None
                try:
                    assert client.post("/v1/embed", json={"texts": ["a passage"]}, timeout=30).status_code == 200
                    break
                except httpx2.ConnectError:
                    time.sleep(0.1)
        finally:
            process.terminate()
    assert [path for path in home.rglob("*") if path.is_file()] == []
