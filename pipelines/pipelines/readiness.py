"""Waits for a gateway that is still starting. Knows what its answers say of the services behind it, not what they are wanted for."""

import time

import httpx2

from pipelines.api import Api, ApiRefused

PAUSE_S = 1.0


class NotReady(Exception):
    """The suite was not ready in time; the message says what was missing last."""


def missing(api: Api) -> str:
    """What keeps the suite behind `api` from working, or nothing."""
    try:
        api.ready()
        status = api.status()
    except (ApiRefused, httpx2.TransportError) as error:
        return f"the gateway at {api.url}: {error}"
    silent = [name for name, key in (("retriever", "items"), ("encoder", "encoder"), ("expander", "expander")) if status[key] is None]
    return f"no answer from {', '.join(silent)}" if silent else ""


def wait(api: Api, wait_s: float) -> None:
    """Returns when all four services answer; raises `NotReady` after `wait_s` seconds without that."""
    ends = time.monotonic() + wait_s
    while reason := missing(api):
        if time.monotonic() >= ends:
            raise NotReady(f"not ready after {wait_s:.0f} s: {reason}")
        time.sleep(min(PAUSE_S, wait_s))
