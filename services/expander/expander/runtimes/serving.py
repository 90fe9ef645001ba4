"""Serves a model from its compiled artefact, which is verified before vLLM starts. Knows nothing of how it was compiled.

Taking the devices fails now and then right after another pod has left them (nrt_init, nrt_allocate_neuron_cores): a start that ends before
it was ready is tried again after a pause, a few times, and then left to Kubernetes.
"""

import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
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
    profile: Profile,
    options: Options,
    root: Path,
    expected: str = "",
    *,
    budget_s: float | None = None,
    scratch: Path = SCRATCH,
    pauses_s: Sequence[float] = PAUSES_S,
) -> int:
    """Runs vLLM until it ends; its exit status. Where nothing is compiled ahead, this process becomes vLLM.

    Raises, before vLLM is started, `Refused`, `ModelAbsent` or an `Artefact...` error; after it `StartFailed`.
    """
    rules.check(profile, options)
    line = render(profile, options)
    artefacts.require_model(options)
    with processes.stopped_by_signals():
        folder = _verified(profile, options, root, expected, scratch) if profile.needs_compile else root
        line = processes.in_environment(line, environment(profile, str(folder), compiling=False), profile.unset)
        if profile.start_attempts == 1:
            os.execvp(line[0], line)  # noqa: S606 - no shell is wanted
        port = int(values(profile, options)["port"])
        return _repeatedly(profile, line, port, profile.start_budget_s if budget_s is None else budget_s, pauses_s)


def _repeatedly(profile: Profile, line: Sequence[str], port: int, budget_s: float, pauses_s: Sequence[float]) -> int:
    for attempt in range(profile.start_attempts):
        ended = _once(line, port, budget_s)
        if ended.was_ready or ended.was_told or ended.status == 0:
            return ended.status if ended.status >= 0 else 128 - ended.status
        print(f"vLLM ended with status {ended.status} before it was ready", file=sys.stderr)
        if attempt + 1 < profile.start_attempts:
            time.sleep(pauses_s[min(attempt, len(pauses_s) - 1)])
    raise StartFailed(
        f"vLLM ended {profile.start_attempts} times before it was ready; its output, above, says why. For nrt_init and"
        f" nrt_allocate_neuron_cores: does the node's driver suit the image ({profile.ami.driver}), and do other pods hold the devices?"
    )


def _verified(profile: Profile, options: Options, root: Path, expected: str, scratch: Path) -> Path:
    """The folder of the artefact, or a fresh copy of it where vLLM writes into its folder; the copy is read once, to be verified."""
    hashed = artefacts.inputs(profile, options)
    identity = artefacts.expected_key(profile, options, expected)
    folder = root / identity
    if profile.compiled_copied and folder.is_dir():
        shutil.rmtree(scratch / identity, ignore_errors=True)
        folder = shutil.copytree(folder, scratch / identity, symlinks=True)
    remedy = "Run the compile job with the same options (python3 -m expander.runtimes compile ...); vLLM was not started"
    artefacts.verify(folder, identity, hashed, remedy)
    return folder


@dataclass
class _Ended:
    """How one run of vLLM ended: its status, whether it was ready before, whether a signal told it to."""

    status: int = 0
    was_ready: bool = False
    was_told: bool = False


def _once(line: Sequence[str], port: int, budget_s: float) -> _Ended:
    """Runs vLLM until it ends; it gets the signals that this process gets. Raises `StartFailed` when it is not ready in time."""
    ended = _Ended()
    child = processes.start(line)

    def pass_on(number: int, _: object) -> None:
        ended.was_told = True
        child.send_signal(number)

    try:
        with processes.handled_by(pass_on):
            ended.was_ready = processes.wait_ready(child, port, budget_s, ANSWERING)
            if not ended.was_ready and child.poll() is None and not ended.was_told:
                raise StartFailed(f"vLLM was not ready within {budget_s:g} s and was stopped")
            ended.status = child.wait()
            return ended
    finally:
        processes.stop(child)
