"""What the expander adds to a call of the LLM, by 16 callers at a time. Knows nothing of which LLM it is.

The same callers ask the LLM directly, by the very bodies that the expander sends, and the expander, in turns within one run; no interest
comes twice, so that neither cache nor prefix helps.
"""

import itertools
import json
import statistics
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench import vllm_server
from tests.bench.expander_server import Expander, Llm, ServerAnswered, expand_request, expansion, interests, total
from tests.bench.retriever_load import Answer, Load, request
from tests.fixtures.llm import tiny_llama

from expander import prompts
from expander.interests import Asked

CALLERS = 16
LATENCIES_S = (0.05, 0.5)
"""Of the fake LLM: what the service adds is the same, and easier to see beside the shorter one."""

VLLM_LAYERS = 32
"""So that a call takes as long as one of a model of use does."""
LIMITS = {"concurrency": CALLERS, "timeout_s": 60}

ROUND = itertools.count()


class Side:
    """Sixteen callers of one port, each asking again once it is answered; `spread_s`: within what time they begin."""

    def __init__(self, port: int, spread_s: float) -> None:
        self._port, self._spread_s = port, spread_s
        self.answers: list[Answer] = []

    def run(self, requests: Sequence[bytes]) -> list[float]:
        """Milliseconds of each answer; raises what a caller raised."""
        failures: list[BaseException] = []
        answered: list[Answer] = []

        def call(number: int) -> None:
            try:
                with Load(self._port, 1) as load:
                    time.sleep(self._spread_s * number / CALLERS)
                    answered.extend(load.closed(requests[number::CALLERS]).answers)
            except Exception as error:  # it is raised again below, where the measurement ends
                failures.append(error)

        team = [threading.Thread(target=call, args=(number,)) for number in range(CALLERS)]
        for thread in team:
            thread.start()
        for thread in team:
            thread.join()
        if failures:
            raise failures[0]
        if refused := [answer for answer in answered if answer.status != 200]:
            raise ServerAnswered(f"{refused[0].status}: {refused[0].body[:300].decode(errors='replace')}")
        self.answers = answered
        return [1_000 * answer.latency_s for answer in answered]


def chat_request(interest: str, model: str, formatted: bool) -> bytes:
    """What the expander sends for this interest; a test compares them."""
    prompt = prompts.topics(Asked(interest))
    body: dict[str, Any] = {
        "model": model,
        "messages": prompt.messages,
        "max_tokens": prompt.max_tokens,
        "temperature": prompt.temperature,
        "stream": False,
    }
    if formatted:
        body["response_format"] = prompt.response_format
    return request("POST", "/v1/chat/completions", json.dumps(body).encode())


def compared(expander: Expander, llm_port: int, model: str, each: int, rounds: int, spread_s: float = 0.0) -> dict[str, Any]:
    """`each` questions on both sides in every round, in turns; times in milliseconds.

    `own`: what a request takes in the expander beside its call, by the callers' clock and the expander's metrics, both as means.
    """
    formatted = expander.call("GET", "/v1/backend")["structured_output"]["sent"]
    direct, through = Side(llm_port, spread_s), Side(expander.port, spread_s)
    found: list[dict[str, float]] = []
    for number in range(rounds + 1):
        names = interests(2 * each, f"round{next(ROUND)}")
        asked = [chat_request(name, model, formatted) for name in names[:each]]
        first = direct.run(asked[: each // 2])
        before, cpu_s = expander.metrics(), expander.cpu_s()
        through_ms = through.run([expand_request(name) for name in names[each:]])
        cpu_s = expander.cpu_s() - cpu_s
        after = expander.metrics()
        direct_ms = first + direct.run(asked[each // 2 :])
        calls, call_s = (
            total(after, f"expander_llm_seconds_{of}") - total(before, f"expander_llm_seconds_{of}") for of in ("count", "sum")
        )
        sources = [expansion(answer)["source"] for answer in through.answers]
        one = {"direct": statistics.median(direct_ms), "through": statistics.median(through_ms)}
        one |= {"added": one["through"] - one["direct"], "own": statistics.mean(through_ms) - 1_000 * call_s / each}
        one |= {"cpu": 1_000 * cpu_s / each, "calls": calls / each, "from_llm": sources.count("llm") / each}
        if number:  # the first opens connections and fills what is looked up once
            found.append(one | {"share": one["added"] / one["direct"]})
    return {"each": each, "formatted": formatted, **{name: statistics.median(one[name] for one in found) for name in found[0]}}


def of_fake(state: Path, latency_s: float, each: int, rounds: int, encoder: str = "") -> dict[str, Any]:
    """With callers that come one after another, and with callers that come in one instant."""
    folder = state / f"expander-overhead-{encoder}"
    with Llm(latency_s=latency_s) as llm, Expander(folder, llm.url, encoder=encoder, llm_limits=LIMITS) as expander:
        return {
            "spread": compared(expander, llm.port, "fake", each, rounds, latency_s),
            "at once": compared(expander, llm.port, "fake", each, rounds),
        }


def of_vllm(state: Path, each: int, rounds: int) -> dict[str, Any]:
    """A real vLLM on this machine's processors, which it shares with the expander and the callers."""
    if not vllm_server.installed():
        return {"failed": "vLLM is not installed (make test-vllm installs it)"}
    folder = state / "vllm"
    if not (folder / "model").exists():
        tiny_llama.write(folder / "model", layers=VLLM_LAYERS)
    with (
        vllm_server.Server(folder, max_num_seqs=CALLERS) as vllm,
        Expander(state / "expander-overhead", vllm.url, llm_model=vllm_server.MODEL, llm_profile="cpu", llm_limits=LIMITS) as expander,
    ):
        return compared(expander, vllm.port, vllm_server.MODEL, each, rounds)


def measure(state: Path, rounds: int, quick: bool) -> dict[str, Any]:
    """`encoder`: topics are compared by meaning too, by an encoder that hashes words: what a call of it costs the expander."""
    each = 4 * CALLERS if quick else 20 * CALLERS
    return {
        "callers": CALLERS,
        "fake": {str(latency_s): of_fake(state, latency_s, each, rounds) for latency_s in LATENCIES_S},
        "encoder": of_fake(state, LATENCIES_S[0], each, rounds, encoder="hashing"),
        "vllm": of_vllm(state, each // 2, rounds),
    }
