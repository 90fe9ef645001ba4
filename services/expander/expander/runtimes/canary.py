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


def ask(url: str, model: str, timeout_s: float = 60.0) -> str:
    """`honoured`, `ignored` or `refused`; raises `ServerSilent` when the server at `url` (with /v1) does not answer a completion.

    The schema demands one word of 12 random letters, the prompt asks for a greeting: only a grammar makes the model write that word.
    """
    word = "".join(secrets.choice("bcdfghjkmnpqrstvwxz") for _ in range(12))
    schema = {"type": "object", "properties": {"word": {"enum": [word]}}, "required": ["word"], "additionalProperties": False}
    status, answer = served.post(url, "/chat/completions", _request(model, schema), timeout_s)
    if status in (400, 422, 501):
        return REFUSED
    if status != 200:
        raise ServerSilent(f"{url} answered {status}")
    return HONOURED if _obeyed(answer, word) else IGNORED


def report(url: str, model: str, profile: Profile | None, timeout_s: float) -> int:
    """Prints what was found as JSON; 1 when the profile promises what the server does not do, else 0."""
    found = ask(url, model, timeout_s)
    promised = profile.structured_output if profile else "probed"
    kept = promised != "supported" or found == HONOURED
    print(json.dumps({"model": model, "structured_output": found, "profile": promised, "kept": kept}))
    return 0 if kept else 1


def _request(model: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "model": model,
        "messages": [{"role": "user", "content": "Say good morning in one short sentence."}],
        "max_tokens": 64,
        "temperature": 0.0,
        "response_format": {"type": "json_schema", "json_schema": {"name": "canary", "strict": True, "schema": schema}},
    }


def _obeyed(answer: bytes, word: str) -> bool:
    try:
        content = json.loads(answer)["choices"][0]["message"]["content"]
        return bool(json.loads(content) == {"word": word})
    except (ValueError, LookupError, TypeError):
        return False
