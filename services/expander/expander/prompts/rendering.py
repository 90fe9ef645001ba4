"""Puts data into a prompt so that it stays data. Knows nothing of what the data says."""

import json
import re
from collections.abc import Mapping
from typing import Any

from expander.characters import legible
from expander.prompts.files import PromptFile
from expander.prompts.tokens import OF_A_MESSAGE, estimated
from expander.readings import Prompt

_MARKUP = re.compile(r"[<>\[\]|{}#`\uff1c\uff1e\uff5c]")
"""What special tokens, role tags, delimiters and fences of chat templates are made of: <|im_start|>, [INST], <<SYS>>, </s>, ### System."""
_ROLE = re.compile(r"(?i)\b(?:system|assistant|user|human|developer|tool|instructions?|response)(?=\s?([:\uff1a]))")
_INSIDE = re.compile(r'"(?:[^"\\]|\\.)*"')


def rendered(file: PromptFile, data: Mapping[str, Any], response_format: dict[str, Any]) -> Prompt:
    """The conversation of `file` about `data`: the system text as it stands, and the data as one line of JSON within the template."""
    user = file.user.replace("{data}", as_json(data))
    messages = ({"role": "system", "content": file.system}, {"role": "user", "content": user})
    tokens = sum(OF_A_MESSAGE + estimated(message["content"]) for message in messages)
    return Prompt(file.version, messages, response_format, file.max_tokens, file.temperature, tokens)


def as_json(data: Mapping[str, Any]) -> str:
    """One line of JSON that holds, outside its own structure, no character of markup: such stand as `\\uXXXX`, and mean the same."""
    return _INSIDE.sub(lambda string: _escaped(string[0]), json.dumps(_legible(data), ensure_ascii=False, allow_nan=False))


def _legible(value: Any) -> Any:
    if isinstance(value, str):
        return legible(value)
    if isinstance(value, Mapping):
        return {key: _legible(member) for key, member in value.items()}
    return [_legible(member) for member in value] if isinstance(value, list | tuple) else value


def _escaped(string: str) -> str:
    string = _ROLE.sub(lambda role: role[0] + "\0", string) if ":" in string or "\uff1a" in string else string
    string = re.sub("\0(\\s?)([:\uff1a])", lambda colon: f"{colon[1]}\\u{ord(colon[2]):04x}", string)
    return _MARKUP.sub(lambda char: f"\\u{ord(char[0]):04x}", string)
