"""Compiling and serving, end to end with a fake `vllm` on the PATH."""

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.fakes import vllm as fake

from expander.runtimes import artefacts, processes, serving
from expander.runtimes.errors import StartFailed
from expander.runtimes.options import Options
from expander.runtimes.table import PROFILES

REVISION, IMAGE = "fe8a4ea", "registry.example/vllm-neuron:1"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def until(holds: Callable[[], Any], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.05)


@dataclass
class Machine:
    """A folder of artefacts, a fake vLLM, and the real command line over both."""

    folder: Path
    port: int = field(default_factory=free_port)
    profile: str = "trn1-sdk2.28"
    started: list["subprocess.Popen[str]"] = field(default_factory=list)

    @property
    def root(self) -> Path:
        return self.folder / "compiled"

    @property
    def options(self) -> Options:
        return Options(f"{self.folder}/TinyLlama-1.1B", model_revision=REVISION, image=IMAGE, port=self.port)

    @property
    def key(self) -> str:
        return artefacts.key(PROFILES[self.profile], self.options)

    def plays(self, *behaviours: str) -> None:
        (self.folder / "script").write_text("\n".join(behaviours))
        (self.folder / "script.starts").unlink(missing_ok=True)

    def starts(self) -> list[dict[str, Any]]:
        """Each start of vLLM since `plays`."""
        noted = self.folder / "script.starts"
        return [json.loads(line) for line in noted.read_text().splitlines()] if noted.exists() else []

    @property
    def lock(self) -> Path:
        return self.root / f".{self.key}.lock"

    def left(self) -> list[str]:
        """What is in the folder of artefacts, but for the empty file of the lock."""
        return sorted(path.name for path in self.root.iterdir() if path != self.lock)

    def start(self, verb: str, *more: str) -> "subprocess.Popen[str]":
        line = [sys.executable, "-m", "expander.runtimes", verb, "--profile", self.profile, "--model-path", self.options.model_path]
        line += ["--model-revision", REVISION, "--image", IMAGE, "--artefacts", str(self.root)]
        line += ["--host", "127.0.0.1", "--port", str(self.port), *more]
        self.started.append(subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return self.started[-1]

    def run(self, verb: str, *more: str) -> tuple[int, str]:
        """Exit status and all that was said."""
        process = self.start(verb, *more)
        said = "".join(process.communicate(timeout=60))
        return process.returncode, said


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    program = tmp_path / "bin" / "vllm"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -S {fake.__file__} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_VLLM", str(tmp_path / "script"))
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    made = Machine(tmp_path)
    made.plays("ready")
    model = tmp_path / "TinyLlama-1.1B"
    model.mkdir()
    (model / "config.json").write_text("{}")
    yield made
    for process in made.started:
        process.kill()
    for start in made.starts():
        if alive(start["process"]):
            os.kill(start["process"], signal.SIGKILL)
    for process in made.started:
        process.communicate()


def alive(process: int) -> bool:
    """Whether the process still runs; one that ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_what_is_compiled_is_served_and_both_see_the_profiles_environment(machine: Machine) -> None:
    status, said = machine.run("compile")
    assert (status, machine.left()) == (0, [machine.key]), said
    artefacts.verify(machine.root / machine.key, machine.key, artefacts.inputs(PROFILES[machine.profile], machine.options), "")
    machine.plays("fast")
    served = machine.start("serve", "--expect-key", machine.key)
    until(lambda: processes.status_of_models(machine.port) == 200)
    served.send_signal(signal.SIGTERM)
    assert served.wait(20) == 0
    seen = machine.starts()[0]
    assert seen["environment"]["NEURON_COMPILED_ARTIFACTS"] == str(machine.root / machine.key)
    assert (seen["environment"]["WORLD_SIZE"], seen["environment"]["LOCAL_WORLD_SIZE"]) == (None, None)
    assert seen["arguments"][:2] == ["serve", machine.options.model_path]


def test_a_second_compile_finds_it_there_and_starts_nothing(machine: Machine) -> None:
    assert machine.run("compile")[0] == 0
    machine.plays("crash")
    assert machine.run("compile")[0] == 0
    assert machine.starts() == []


def test_a_corrupt_artefact_is_compiled_again(machine: Machine) -> None:
    machine.run("compile")
    (machine.root / machine.key / "model.pt").write_bytes(b"other")
    assert machine.run("serve")[0] == 67
    assert machine.run("compile")[0] == 0
    assert (machine.root / machine.key / "model.pt").read_bytes() == b"graph"


FAILED_COMPILES = {
    "crash": "status 1",
    "slow": "not ready within 1 s",
    "fast": "nothing was written",
    "mute": "answered 500 to a chat of one token; nothing was kept. Does the model have a chat template? It said: no chat template",
    "gone": "ready and then silent",
}


@pytest.mark.parametrize(("behaviour", "told"), FAILED_COMPILES.items())
def test_a_failed_compile_leaves_nothing(machine: Machine, behaviour: str, told: str) -> None:
    machine.plays(behaviour)
    status, said = machine.run("compile", "--budget-s", "1" if behaviour == "slow" else "30")
    assert (status, machine.left()) == (69, [])
    assert told in said
    assert not any(alive(start["process"]) for start in machine.starts())


def test_a_terminated_compile_leaves_nothing_and_no_process(machine: Machine) -> None:
    machine.plays("slow")
    compiling = machine.start("compile")
    until(machine.starts)
    compiling.send_signal(signal.SIGTERM)
    assert compiling.wait(30) == 128 + signal.SIGTERM
    assert machine.left() == []
    assert not alive(machine.starts()[0]["process"])


def test_what_a_killed_compile_left_is_gone_after_the_next(machine: Machine) -> None:
    machine.plays("slow", "ready")
    compiling = machine.start("compile")
    until(machine.starts)
    compiling.kill()
    compiling.wait()
    os.kill(machine.starts()[0]["process"], signal.SIGKILL)
    assert machine.run("serve")[0] == 65
    assert machine.run("compile")[0] == 0
    assert machine.left() == [machine.key]


def test_two_compiles_of_the_same_do_not_mix(machine: Machine) -> None:
    machine.plays("slow")
    machine.start("compile")
    until(machine.starts)
    status, said = machine.run("compile")
    assert status == 75
    assert "another process compiles" in said
    assert len(machine.starts()) == 1


def test_who_opened_the_lock_while_another_held_it_keeps_the_next_out(machine: Machine) -> None:
    machine.plays("slow", "ready")
    first = machine.start("compile")
    until(machine.starts)
    with machine.lock.open() as opened_meanwhile:
        first.send_signal(signal.SIGTERM)
        first.wait(30)
        fcntl.flock(opened_meanwhile, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert machine.run("compile")[0] == 75


def test_serving_refuses_before_vllm_is_started(machine: Machine) -> None:
    assert machine.run("serve")[0] == 65
    status, said = machine.run("serve", "--expect-key", "0" * 64)
    assert status == 66
    assert "chart and image disagree" in said
    assert machine.run("compile", "--expect-key", "0" * 64)[0] == 66
    machine.run("compile")
    machine.plays("ready")
    shutil.copytree(machine.root / machine.key, machine.root / "other")
    status, said = machine.run("serve", "--max-num-seqs", "4")
    assert status == 65
    assert "Run the compile job" in said
    assert machine.run("serve", "--tensor-parallel-size", "3")[0] == 64
    assert machine.starts() == []


@pytest.mark.parametrize("profile", ["trn1-sdk2.28", "cpu"])
def test_without_the_models_files_nothing_is_started(machine: Machine, profile: str) -> None:
    machine.profile = profile
    shutil.rmtree(machine.options.model_path)
    status, said = machine.run("serve")
    assert status == 72
    assert "holds no config.json" in said
    assert machine.starts() == []


def test_a_start_that_fails_before_it_is_ready_is_tried_again(machine: Machine) -> None:
    machine.run("compile")
    machine.plays("crash", "fast")
    process = machine.start("serve")
    until(lambda: processes.status_of_models(machine.port) == 200)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert len(machine.starts()) == 2


def test_a_start_that_keeps_failing_ends_with_a_status_of_its_own(machine: Machine) -> None:
    machine.run("compile")
    machine.plays("crash")
    with pytest.raises(StartFailed, match=r"3 times.*nrt_init"):
        serving.serve(PROFILES[machine.profile], machine.options, machine.root, pauses_s=(0.01,))
    assert len(machine.starts()) == 3


def test_a_start_that_is_too_slow_is_ended(machine: Machine) -> None:
    machine.run("compile")
    machine.plays("slow")
    status, said = machine.run("serve", "--budget-s", "1")
    assert status == 68
    assert "within 1 s" in said
    assert not alive(machine.starts()[0]["process"])


def test_a_start_that_is_told_to_stop_is_not_tried_again(machine: Machine) -> None:
    machine.run("compile")
    machine.plays("slow")
    process = machine.start("serve")
    until(machine.starts)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) in (0, 128 + signal.SIGTERM)
    assert len(machine.starts()) == 1


def test_the_new_plugin_gets_a_copy_and_may_not_compile_while_serving(machine: Machine, tmp_path: Path) -> None:
    machine.profile = "trn2"
    assert machine.run("compile")[0] == 0
    assert machine.starts()[0]["environment"]["VLLM_NEURON_DISABLE_WARMUP_COMPILE"] is None
    machine.plays("crash")
    with pytest.raises(StartFailed):
        serving.serve(PROFILES["trn2"], machine.options, machine.root, scratch=tmp_path / "scratch", pauses_s=(0.01,))
    seen = machine.starts()[0]["environment"]
    assert seen["VLLM_CACHE_ROOT"] == str(tmp_path / "scratch" / machine.key)
    assert seen["VLLM_NEURON_DISABLE_WARMUP_COMPILE"] == "1"
    assert (tmp_path / "scratch" / machine.key / "neuron" / "buckets.neff").exists()


def test_where_nothing_is_compiled_the_process_becomes_vllm(machine: Machine) -> None:
    machine.profile = "cpu"
    machine.plays("fast")
    process = machine.start("serve")
    until(machine.starts)
    assert machine.starts()[0]["process"] == process.pid
    assert machine.starts()[0]["environment"]["HF_HUB_OFFLINE"] == "1"
    assert machine.run("compile")[0] == 64
