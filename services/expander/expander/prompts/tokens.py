"""Estimates tokens without a tokenizer, from above. Knows nothing of prompts."""

import re

OF_A_MESSAGE = 8
"""What a chat template puts around one message: role, separators, begin and end."""
_LETTERS = re.compile(r"[A-Za-z]+")
_VOWEL = re.compile(r"[AEIOUYaeiouy]")
_MARK_OR_DIGIT = re.compile(r"[!-@\[-`{-~\n]")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")


def estimated(text: str) -> int:
    """At least as many tokens as vocabularies of 30,000 pieces or more need for natural language.

    Of a run of ASCII letters half as many as it has letters (all of them when it has no vowel: no word); of digits and punctuation one
    each; of other characters one less than their UTF-8 bytes, and all four bytes of an emoji. Text made to be costly (random letters, rare
    characters of a script that a vocabulary hardly knows) can take more: never more than its bytes in UTF-8 by byte-level BPE, and by
    SentencePiece with byte fallback one more.
    """
    words = sum(_of_word(word) for word in _LETTERS.findall(text))
    others = sum(_of_character(char) for char in _NOT_ASCII.findall(text))
    return words + len(_MARK_OR_DIGIT.findall(text)) + others


def _of_word(word: str) -> int:
    return (len(word) + 1) // 2 if _VOWEL.search(word) else len(word)


def _of_character(char: str) -> int:
    return 1 if char < "\u0800" else 2 if char < "\U00010000" else 4
