"""Tells a server that works, however busy, from one whose device hangs. Knows nothing of what is done about it.

vLLM's /health answers 200 while the engine's process lives, also when the device under it hangs (vLLM #36960). So one token is asked for.
A busy server may answer that too late, for its queue has no bound: it lives as long as it has written or read any token meanwhile.
"""

import urllib.parse

from expander.runtimes import served
from expander.runtimes.errors import DeviceHangs, ServerSilent

COUNTERS = ("vllm:generation_tokens_total", "vllm:prompt_tokens_total")
METRICS_S = 5.0


def feel(url: str, model: str, patience_s: float = 30.0) -> None:
    """Returns when the server at `url` (with /v1) works; raises `DeviceHangs` when neither a token came nor a counter moved in time.

    Raises `ServerSilent` when not even the metrics answer. An answer with any status but 5xx is a sign of life.
    """
    before = _tokens(url)
    body = {"model": model, "messages": [{"role": "user", "content": "."}], "max_tokens": 1, "temperature": 0.0}
    try:
        status, _ = served.post(url, "/chat/completions", body, patience_s)
    except ServerSilent:
        status = 0
    if 0 < status < 500 or _tokens(url) != before:
        return
    raise DeviceHangs(f"{url} wrote no token within {patience_s:.0f} s (status {status or 'none'}), for this request or any other")


def _tokens(url: str) -> float:
    """All tokens that the server has read and written since it started."""
    root = urllib.parse.urlsplit(url)
    status, text = served.get(f"{root.scheme}://{root.netloc}/metrics", METRICS_S)
    if status != 200:
        raise ServerSilent(f"{url}: the metrics answered {status}")
    return sum(float(line.rsplit(maxsplit=1)[1]) for line in text.decode().splitlines() if line.startswith(COUNTERS))
