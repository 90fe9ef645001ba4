"""Asks a served model whether it obeys a JSON schema, by one that no model satisfies by chance. Knows nothing of who asks.

vLLM on Neuron has accepted schemas and silently ignored them (vllm-neuron #19), so the answer is not taken from any document.
"""

import json
import secrets
from typing import Any

from expander.runtimes import served
from expander.runtimes.errors import ServerSilent
from expander.runtimes.profile import Profile

HONOURED, IGNORED, REFUSED = "honoured", "ignored", "refused"
NAME = "canary"
"""Of the schema, by which a server's log tells these requests from others."""
REFUSALS = (400, 422, 501)
"""Statuses by which a server refuses the format."""


def ask(url: str, model: str, timeout_s: float = 60.0) -> str:
    """`honoured`, `ignored` or `refused`; raises `ServerSilent` when the server at `url` (with /v1) does not answer a completion."""
    expected = word()
    status, answer = served.post(url, "/chat/completions", request(model, expected), timeout_s)
    if status in REFUSALS:
        return REFUSED
    if status != 200:
        raise ServerSilent(f"{url} answered {status}")
    return HONOURED if obeyed(_text(answer), expected) else IGNORED


def report(url: str, model: str, profile: Profile | None, timeout_s: float) -> int:
    """Prints what was found as JSON; 1 when the profile promises what the server does not do, else 0."""
    found = ask(url, model, timeout_s)
    promised = profile.structured_output if profile else "probed"
    kept = promised != "supported" or found == HONOURED
    print(json.dumps({"model": model, "structured_output": found, "profile": promised, "kept": kept}))
    return 0 if kept else 1


def word() -> str:
    """12 random letters."""
    return "".join(secrets.choice("bcdfghjkmnpqrstvwxz") for _ in range(12))


def request(model: str, expected: str) -> dict[str, Any]:
    """Asks for a greeting, under a schema that demands the expected word: only a grammar makes a model write it."""
    schema = {"type": "object", "properties": {"word": {"enum": [expected]}}, "required": ["word"], "additionalProperties": False}
    return {
        "model": model,
        "messages": [{"role": "user", "content": "Say good morning in one short sentence."}],
        "max_tokens": 64,
        "temperature": 0.0,
        "response_format": {"type": "json_schema", "json_schema": {"name": NAME, "strict": True, "schema": schema}},
    }


def obeyed(text: object, expected: str) -> bool:
    """Whether the text of an answer is what the schema demands."""
    try:
        return isinstance(text, str) and bool(json.loads(text) == {"word": expected})
    except (ValueError, RecursionError):
        return False


def _text(answer: bytes) -> object:
    try:
        return json.loads(answer)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
