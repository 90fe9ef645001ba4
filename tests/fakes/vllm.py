"""A misbehaving `vllm serve`: a real process that behaves as the first line of the file $FAKE_VLLM says; the last line repeats.

Behaviours: `ready` writes files where artefacts belong and answers /v1/models and chats; `fast` is ready without writing; `mute` is `ready`
and refuses chats; `gone` is `ready` and ends when it is asked; `crash` ends with status 1; `slow` writes and never gets ready; `stubborn`
is `slow` and ignores SIGTERM. Each start is noted in $FAKE_VLLM.starts as a line of JSON: its process, its arguments, and what it saw of
the environment. Knows nothing of the expander.
"""

import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SEEN = (
    "NEURON_COMPILED_ARTIFACTS",
    "VLLM_CACHE_ROOT",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "VLLM_NEURON_DISABLE_WARMUP_COMPILE",
    "HF_HUB_OFFLINE",
)


class Models(BaseHTTPRequestHandler):
    plays = "ready"

    def do_GET(self) -> None:
        found = self.path == "/v1/models"
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write(b'{"object": "list", "data": []}')

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        if self.plays == "gone":
            os._exit(139)
        self.send_response(500 if self.plays == "mute" else 200)
        self.end_headers()
        self.wfile.write(b"no chat template" if self.plays == "mute" else b'{"choices": [{"message": {"content": "."}}]}')

    def log_message(self, *_: object) -> None:
        pass


def behaviour(script: Path) -> str:
    """The next line of the script."""
    lines = script.read_text().split()
    if len(lines) > 1:
        script.write_text("\n".join(lines[1:]))
    return lines[0]


def main(arguments: list[str]) -> int:
    script = Path(os.environ["FAKE_VLLM"])
    plays = behaviour(script)  # before the start is noted: who waits for that may kill this process at once
    with script.with_suffix(".starts").open("a") as starts:
        starts.write(
            json.dumps({"process": os.getpid(), "arguments": arguments, "environment": {name: os.environ.get(name) for name in SEEN}})
            + "\n"
        )
    if plays != "fast":
        folder = Path(os.environ.get("NEURON_COMPILED_ARTIFACTS") or os.environ["VLLM_CACHE_ROOT"])
        (folder / "neuron").mkdir(parents=True, exist_ok=True)
        (folder / "model.pt").write_bytes(b"graph")
        (folder / "neuron" / "buckets.neff").write_bytes(b"bytes" * 1000)
    if plays == "crash":
        return 1
    signal.signal(signal.SIGTERM, signal.SIG_IGN if plays == "stubborn" else lambda *_: os._exit(0))
    if plays in ("slow", "stubborn"):
        time.sleep(600)
    Models.plays = plays
    ThreadingHTTPServer(("127.0.0.1", int(arguments[arguments.index("--port") + 1])), Models).serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
