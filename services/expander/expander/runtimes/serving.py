"""Serves a model from its compiled artefact, which is verified before vLLM starts. Knows nothing of how it was compiled.

Taking the devices fails now and then right after another pod has left them (nrt_init, nrt_allocate_neuron_cores): a start that ends before
it was ready is tried again after a pause, a few times, and then left to Kubernetes.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from expander.runtimes import artefacts, processes, rules
from expander.runtimes.errors import StartFailed
from expander.runtimes.options import Options, values
from expander.runtimes.profile import Profile
from expander.runtimes.render import environment, render

PAUSES_S = (5.0, 20.0)
ANSWERING = (200, 401, 403)
"""With an API key set, a server that is ready refuses who has none."""
SCRATCH = Path("/tmp/warmstart-compiled")  # noqa: S108 - in a pod of its own; an emptyDir or the node's NVMe


def serve(
    profile: Profile, options: Options, root: Path, expected: str = "", *, scratch: Path = SCRATCH, pauses_s: Sequence[float] = PAUSES_S
) -> int:
    """Runs vLLM until it ends; its exit status. Where nothing is compiled ahead, this process becomes vLLM.

    Raises `Refused`, or before vLLM is started an `Artefact...` error, or `StartFailed`.
    """
    rules.check(profile, options)
    line = render(profile, options)
    folder = _verified(profile, options, root, expected, scratch) if profile.needs_compile else root
    line = processes.in_environment(line, environment(profile, str(folder), compiling=False), profile.unset)
    if profile.start_attempts == 1:
        os.execvp(line[0], line)  # noqa: S606 - no shell is wanted
    port = int(values(profile, options)["port"])
    for attempt in range(profile.start_attempts):
        was_ready, status = _once(line, port, profile.start_budget_s)
        if was_ready or status == 0 or status < 0:
            return status if status >= 0 else 128 - status
        if attempt + 1 < profile.start_attempts:
            print(f"vLLM ended with status {status} before it was ready; starting it again", file=sys.stderr)
            time.sleep(pauses_s[min(attempt, len(pauses_s) - 1)])
    raise StartFailed(
        f"vLLM ended with status {status} before it was ready, {profile.start_attempts} times. Its output, above, says why. For nrt_init and"
        f" nrt_allocate_neuron_cores: does the node's driver suit the image ({profile.ami.driver}), and do other pods hold the devices?"
    )


def _verified(profile: Profile, options: Options, root: Path, expected: str, scratch: Path) -> Path:
    """The folder of the artefact, or a fresh copy of it where vLLM writes into its folder."""
    hashed = artefacts.inputs(profile, options)
    identity = artefacts.expected_key(profile, options, expected)
    remedy = "Run the compile job with the same options (python3 -m expander.runtimes compile ...); vLLM was not started"
    artefacts.verify(root / identity, identity, hashed, remedy)
    if not profile.compiled_copied:
        return root / identity
    shutil.rmtree(scratch / identity, ignore_errors=True)
    shutil.copytree(root / identity, scratch / identity)
    return scratch / identity


def _once(line: Sequence[str], port: int, budget_s: float) -> tuple[bool, int]:
    """Whether vLLM was ready in this run, and the status with which it ended; it gets the signals that this process gets."""
    child = processes.start(line)
    try:
        with _passed_on(child):
            ready = processes.wait_ready(child, port, budget_s, ANSWERING)
            if not ready and child.poll() is None:
                print(f"vLLM was not ready within {budget_s} s", file=sys.stderr)
                processes.stop(child)
            return ready, child.wait()
    finally:
        processes.stop(child)


@contextlib.contextmanager
def _passed_on(child: "subprocess.Popen[bytes]") -> Iterator[None]:
    def pass_on(number: int, _: object) -> None:
        child.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
