"""Reads what was meant as JSON but is not: the forms that language models write. Knows nothing of topics.

Why not a library: docs/decisions/0013-json-repair.md. Every step moves on by a character or more, nesting is bounded, and nothing is read
twice but the white space behind a quote, so the time is linear in the length.
"""

import re
from typing import Any

DEEPEST = 16
LONGEST_STRING = 2_000
_IDLE = re.compile(r"(?:\s|,|;|//[^\n]*|#[^\n]*|/\*[^*]*(?:\*(?!/)[^*]*)*\*/)+")
_QUOTES = {
    '"': '"',
    "'": "'",
    "`": "`",
    "\u201c": "\u201d",
    "\u201d": "\u201d",
    "\u2018": "\u2019",
    "\u00ab": "\u00bb",
    "\u201e": "\u201c\u201d",
}
_PLAIN = re.compile(r"[^\\\n\"'`\u201c\u201d\u2019\u00bb]+")
_BARE = re.compile(r"[^,:;=\[\]{}()\n\"\u201c\u201d]+")
_AFTER_A_STRING = re.compile(r"[^\S\n]{0,64}(?:$|[,:;=\]})\n#]|/[/*]|(?P<next>[\"'\u201c]))")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": " ", "f": " "}
_WORDS = {"true": True, "false": False, "null": None, "none": None, "undefined": None, "nan": None}
_UNFINISHED = object()


def mended(text: str, at: int) -> tuple[Any, int]:
    """The object or list that begins at `text[at]`, and where it ends; whatever the text is.

    Mends other quotes and missing ones, quotes within strings, commas too many or missing, comments, the words of Python, brackets never
    closed or closed by another kind. A string that never ends is left out, as half of it may be missing; so is what is nested deeper than
    `DEEPEST`.
    """
    mender = _Mender(text, at)
    value = mender.value(0)
    return (None if value is _UNFINISHED else value), max(mender.at, at + 1)


class _Mender:
    """One reading of `text`; `at` is what is read next."""

    def __init__(self, text: str, at: int) -> None:
        self.text, self.at = text, at

    def value(self, depth: int, listed: bool = False) -> Any:
        char = self.text[self.at]
        if char in "{[(":
            self.at += 1
            if depth >= DEEPEST:
                return _UNFINISHED
            return self._object(depth) if char == "{" else self._list(depth)
        return self._string(_QUOTES[char], listed) if char in _QUOTES else self._bare()

    def _next(self) -> str:
        """The character that means something next, or ""."""
        if idle := _IDLE.match(self.text, self.at):
            self.at = idle.end()
        return self.text[self.at : self.at + 1]

    def _list(self, depth: int) -> list[Any]:
        found: list[Any] = []
        while (char := self._next()) not in ("", "}"):
            if char in "])":
                self.at += 1
                break
            if char in ":=":
                self.at += 1
            elif (value := self.value(depth + 1, listed=True)) is not _UNFINISHED:
                found.append(value)
        return found

    def _object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while (char := self._next()) not in ("", "]", ")"):
            if char == "}":
                self.at += 1
                break
            if char in ":=[{(":
                # A value that nothing names.
                key: Any = f"#{len(found)}"
                self.at += char in ":="
            else:
                key = self.value(depth + 1)
            named = self._next()
            if named and named in ":=":
                self.at += 1
                named = self._next()
            elif char not in ":=[{(":
                continue
            if named and named not in "}])" and (value := self.value(depth + 1)) is not _UNFINISHED:
                found[str(key)] = value
        return found

    def _string(self, closing: str, listed: bool) -> Any:
        self.at += 1
        parts: list[str] = []
        while self.at < len(self.text):
            if plain := _PLAIN.match(self.text, self.at):
                parts.append(plain[0])
                self.at = plain.end()
                continue
            char = self.text[self.at]
            self.at += 1
            if char == "\\":
                parts.append(self._escaped())
            elif char in closing and self._closes(char):
                return "".join(parts)[:LONGEST_STRING]
            elif char in closing and listed and parts and parts[-1].rstrip().endswith(","):
                # The quote before the comma is missing, and this one begins the next text.
                self.at -= 1
                return "".join(parts).rstrip()[:-1]
            else:
                parts.append(char)
        return _UNFINISHED

    def _closes(self, quote: str) -> bool:
        """Whether a quote before `at` ends a string: what follows belongs to the structure, and it is no apostrophe."""
        after = _AFTER_A_STRING.match(self.text, self.at)
        return after is not None and (after["next"] is None or after["next"] == quote or quote not in "'\u2019")

    def _escaped(self) -> str:
        char = self.text[self.at : self.at + 1]
        self.at += 1
        if char == "u" and re.fullmatch("[0-9a-fA-F]{4}", digits := self.text[self.at : self.at + 4]):
            self.at += 4
            return chr(int(digits, 16))
        return _ESCAPES.get(char, char)

    def _bare(self) -> Any:
        """A word without quotes: a literal, a number, or text."""
        bare = _BARE.match(self.text, self.at)
        if bare is None:
            self.at += 1
            return _UNFINISHED
        self.at = bare.end()
        word = bare[0].strip()
        if word.lower() in _WORDS:
            return _WORDS[word.lower()]
        return word[:LONGEST_STRING] or _UNFINISHED
