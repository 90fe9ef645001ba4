"""Accepts a line that an LLM wrote, or not: its characters, its length, and what it must not hold. Knows nothing of where it stood.

The same for everything that is shown: topics, tags, descriptions. Nothing that is accepted holds a link, an address, a telephone number,
markup, code, JSON, a role tag or hidden characters, whoever wrote it; that it orders or answers nobody is as sure as `wording` is complete.
"""

import re
import unicodedata

from expander.characters import legible
from expander.prompts import LEAST_TOPIC_CHARACTERS, MAX_TOPIC_CHARACTERS
from expander.wording import encoded, speaks

MOST_WORDS = 9
_SOFT = "\u00ad\ufeff\u200b\u200c\u200d"
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u061c\u200e\u200f\u202a-\u202e\u2060-\u206f\U000e0000-\U000e007f]")
_EDGE = " \t\r\n.,;:!-*_~\u2022\u00b7\u2013\u2014\u2026'\u2018\u2019"
_NUMBER = re.compile(r"^\W*(?:\d{1,2}[.):]|\(\d{1,2}\)|[a-e]\))\s+")
_WRAPPED = re.compile("^(?:\\*\\*(.+)\\*\\*|__(.+)__|\"(.+)\"|\u201c(.+)\u201d|'(.+)'|\u2018(.+)\u2019|`(.+)`|\\*(.+)\\*)$")
_BULLETS = re.compile(
    "^[\\s\\-*#\u2022\u2023\u25aa-\u25ff\u2010-\u2015\u2190-\u21ff\u2600-\u27bf\u2b00-\u2bff\ufe0f\U0001f000-\U0001faff]+"
)
_WORD = re.compile(r"[^\W_]+")
_LONGEST_WORD = 40
_JOINED = re.compile(r"(?<=[^\W_])_(?=[^\W_])")
_TOPIC_MARKS = frozenset(
    " '\u2019\u2018-\u2010\u2013\u2014&,.:/()+#\u00b7\u30fb\u201c\u201d\u00ab\u00bb\u201e\u060c\u05f3\u05f4\u200c\u200d"
)
_LINE_MARKS = _TOPIC_MARKS | frozenset(";!?%\u2026\u3001\u3002\u00b0\u00a1\u00bf")
_MISUSED = re.compile(
    r"""\w\.[^\W\d_]{2,}                            # a domain, a file, a method; initials pass: J.R.R., U.S.
    | :(?!\s) | //|/\S*/|(?<!\w)/|/(?!\w) | -- | (?:^|\s)-\w | \.\.  # a scheme, a path, an option
    | (?<![A-Z])\# | \#(?=\w) | (?<![\w+])\+ | \+(?=\w)  # C# and C++ and LGBTQ+ pass
    | \w\( | \(\s*\) | \((?![^()]*\)) | (?<![^()])\)  # a call, a bracket alone
    """,
    re.VERBOSE,
)
_OPEN = re.compile(r"\([^()]*\)")
_MIXED = re.compile(
    "[A-Za-z\u00c0-\u024f][\u0370-\u03ff\u0400-\u052f\u0530-\u058f\u13a0-\u13ff]|[\u0370-\u03ff\u0400-\u052f\u0530-\u058f\u13a0-\u13ff][A-Za-z\u00c0-\u024f]"
)
_QUOTED = re.compile(r'(?<![^\s(])"([^"\s][^"]*)"(?=[\s.,;!?)]|$)')
_YEAR = re.compile(r"(?<![\d+-])(?:1\d{3}|20\d\d)(?:s|\s?[-\u2013]\s?(?:1\d{3}|20\d\d|\d\d)(?!\d))?(?![\d-])")
_PHONE = re.compile(r"\d{5}|\d{3}[-. ]\d{4}|\+\d")
_MOST_DIGITS = 6
_SENTENCES = re.compile(r"(?<!\bMrs)(?<=[^\W\d_]{3})\.\s")


def topic(text: str) -> str | None:
    """One subject in a few words, 2 to 60 characters, in NFKC and without bullets, numbers and quotes around it; None if it is none."""
    if len(text) > 8 * MAX_TOPIC_CHARACTERS or _CONTROL.search(text):
        return None
    whole = _plain(text)
    line = _undecorated(whole)
    fits = LEAST_TOPIC_CHARACTERS <= len(line) <= MAX_TOPIC_CHARACTERS and len(line.split()) <= MOST_WORDS
    sound = fits and _readable(line, _TOPIC_MARKS) and not _SENTENCES.search(line)
    # Decoration taken off must not hide what it was.
    return line if sound and not speaks(line) and (whole == line or not speaks(whole)) else None


def line(text: str, longest: int) -> str | None:
    """One line of prose of 2 to `longest` characters, in NFKC, with typographic quotes; None when it is none, or holds what nothing may."""
    if len(text) > 8 * longest or _CONTROL.search(text):
        return None
    told = _QUOTED.sub("\u201c\\1\u201d", _plain(text).replace("...", "\u2026").replace("--", "\u2013"))
    parts = re.split(r"(?<=[.!?;:])\s+", told)
    readable = 2 <= len(told) <= longest and _readable(told, _LINE_MARKS)
    return told if readable and not any(speaks(part) for part in parts) else None


def _plain(text: str) -> str:
    text = legible(unicodedata.normalize("NFKC", text.replace("&amp;", "&")))
    # NFKC makes spaces of some characters that stood for themselves.
    return " ".join("".join(char for char in text if char not in "\u200b\ufeff").split())


def _undecorated(text: str) -> str:
    """Without numbers, bullets, quotes and emphasis around it."""
    for _ in range(3):
        text = _NUMBER.sub("", text, count=1).strip(_EDGE if not text.endswith(("s'", "s\u2019")) else _EDGE[:-3])
        if wrapped := _WRAPPED.match(text):
            text = next(group for group in wrapped.groups() if group is not None)
    return _JOINED.sub(" ", _BULLETS.sub("", text))


def _readable(text: str, marks: frozenset[str]) -> bool:
    return (
        any(char.isalpha() for char in text)
        and all(char in marks or unicodedata.category(char)[0] in "LM" or char.isdecimal() for char in text)
        and not _MISUSED.search(text)
        and not _MIXED.search(text)
        and not _numbers(text)
        and not any(encoded(word) or len(word) > _LONGEST_WORD for word in _WORD.findall(text))
    )


def _numbers(text: str) -> bool:
    """Whether it holds digits as a telephone or card number does: more than years and quantities."""
    rest = _YEAR.sub(" ", text)
    return _PHONE.search(rest) is not None or sum(char.isdigit() for char in rest) > _MOST_DIGITS
