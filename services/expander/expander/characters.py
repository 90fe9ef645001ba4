"""Which characters of a text can be read, and where it may be cut. Knows nothing of prompts and topics."""

import re
import unicodedata
from collections.abc import Iterator

JOINERS = "\u200c\u200d"
_FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
"""Letters and marks that show nothing: they hide text from people, not from tokenizers."""
_SPACES = frozenset("\t\n\v\f\r\x1c\x1d\x1e\x1f\x85\u2028\u2029\u2800")
_UNSEEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn"))
_SELECTORS = re.compile(r"[\ufe00-\ufe0d]|[\U000e0100-\U000e01ef]|(?<![^\w\s\ufe0e\ufe0f])[\ufe0e\ufe0f]")
"""Variation selectors, but for the text and emoji style behind a symbol: one behind each letter can carry any bytes unseen."""
_STACKED = re.compile(
    r"([\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]{4})[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]+"
)
_JOINED_SCRIPTS = r"\u0600-\u08ff\u0900-\u109f\u1780-\u17ff\u1800-\u18af"
_PICTURES = r"\u2190-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
_IDLE_JOINER = re.compile(
    rf"(?<![{_JOINED_SCRIPTS}{_PICTURES}\ufe0f])[{JOINERS}]|[{JOINERS}](?![{_JOINED_SCRIPTS}{_PICTURES}])|(?<=[{_PICTURES}\ufe0f])\u200c"
)


def legible(text: str) -> str:
    """`text` on one line, in NFC, of characters that a reader sees.

    Without controls (C0, C1, bidirectional, zero-width), tags, surrogates, private and unassigned characters, fillers, more than four marks
    in a pile; joiners stay where scripts and emoji need them.
    """
    if text.isascii() and text.isprintable():
        return " ".join(text.split())
    table = {ord(char): " " if char in _SPACES else None for char in set(text) if _hides(char)}
    text = unicodedata.normalize("NFC", text.translate(table))
    text = _STACKED.sub(r"\1", _SELECTORS.sub("", text))
    return " ".join(_IDLE_JOINER.sub("", text).split())


def _hides(char: str) -> bool:
    return char in _SPACES or char in _FILLERS or (unicodedata.category(char) in _UNSEEN and char not in JOINERS)


def clusters(text: str) -> Iterator[str]:
    """What a reader takes for one character each, in order; together they are `text`.

    Extended grapheme clusters of UAX #29, simplified: marks, selectors, joined emoji, skin tones, pairs of regional indicators, conjoining
    jamo and Indic conjuncts stay whole; rules for characters that come before others (GB9b) are left out.
    """
    start, pairs = 0, 0
    for at in range(1, len(text)):
        before, char = text[at - 1], text[at]
        pairs = pairs + 1 if _is_indicator(before) else 0
        if not _sticks(before, char, pairs):
            yield text[start:at]
            start = at
    if text:
        yield text[start:]


def _is_indicator(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"


def _sticks(before: str, char: str, pairs: int) -> bool:
    if char < "\u0300":
        return before == "\r" and char == "\n"
    if unicodedata.category(char) in ("Mn", "Mc", "Me") or char in JOINERS or char in "\u0e33\u0eb3":
        return True
    if "\U0001f3fb" <= char <= "\U0001f3ff" or "\U000e0020" <= char <= "\U000e007f":
        return True
    if "\u1160" <= char <= "\u11ff":
        return "\u1100" <= before <= "\u11ff"
    if _is_indicator(char):
        return pairs % 2 == 1
    return before == "\u200d" or (unicodedata.combining(before) == 9 and unicodedata.category(char) == "Lo")
