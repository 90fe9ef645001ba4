"""Asks a running suite for a recommendation and says what is wrong with the answer. Knows the public API only."""

import time
from typing import Any

import httpx2

from pipelines import readiness
from pipelines.api import Api, ApiRefused

REQUEST: dict[str, Any] = {"interests": ["space opera with political intrigue"], "k": 5, "deadline_ms": 10_000}
PAUSE_S = 1.0


class CheckFailed(Exception):
    """The suite does not recommend as it should; the message says what came instead."""


def wrong(api: Api) -> str:
    """What is wrong with a recommendation, or nothing; without items there are no topics and nothing to recommend, and that is right."""
    try:
        held, answer = api.status()["items"], api.recommend(REQUEST)
    except (ApiRefused, httpx2.TransportError) as error:
        return f"{type(error).__name__}: {error}"
    if degraded := [stage for stage in answer["degraded"] if held or stage["stage"] != "expander"]:
        return "degraded: " + ", ".join(f"{stage['stage']} ({stage['substitute']})" for stage in degraded)
    if held and not answer["items"]:
        return f"nothing recommended out of {held:,} items"
    return ""


def run(api: Api, *, wait_s: float) -> None:
    """Returns when all four services are ready and an interest is answered without a substitute.

    Raises `NotReady` or `CheckFailed` when that has not happened after `wait_s` seconds.
    """
    ends = time.monotonic() + wait_s
    readiness.wait(api, wait_s)
    while reason := wrong(api):
        if time.monotonic() >= ends:
            raise CheckFailed(reason)
        time.sleep(min(PAUSE_S, wait_s))
    titles = [item["title"] for item in api.recommend(REQUEST)["items"]]
    print(f"Ready, and recommends: {'; '.join(titles) or 'nothing, because the catalogue is empty'}")
