"""Words of an interest or a label, brought to one form. Knows nothing of topics."""

import re
import unicodedata

_MARKS = "".join(re.escape(chr(point)) for point in range(0x300, 0xAC00) if unicodedata.category(chr(point)) in ("Mn", "Mc"))
_WORD = re.compile(rf"(?<![^\W_])[a-z](?:\+\+|#)|[^\W_](?:[^\W_]|[{_MARKS}])*")
"""A word with its marks (vowel signs are no letters to Python), and C++ and C#."""
_SUFFIXES = frozenset({"jr", "sr"})
_COMMON = """
a about all am an and any are as at be best book books but by can favorite favourite find for from get give good great had has
have he her him his i if in into is it its like liked likes looking me more most my no not novel novels of on one or other our
please read reader reading reads recommend set she should show similar so some something stories story such suggest tale tales
that the their them there these they thing things this to very want wants was we were what when where which who will with would
you your
"""
STOP = frozenset(_COMMON.split())
"""Words that name no subject."""


def fold(word: str) -> str:
    """The word without a plural ending: mysteries -> mystery, witches -> witch, dragons -> dragon."""
    if len(word) <= 3 or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y" if len(word) > 4 else word[:-1]
    if word.endswith(("ches", "shes", "xes", "sses")):
        return word[:-2]
    return word[:-1] if word.endswith("s") else word


def folded(text: str) -> tuple[str, ...]:
    """The folded words of `text` in order, without stop words and single letters: "The Cosy Mysteries" -> ("cosy", "mystery")."""
    words = _WORD.findall(unicodedata.normalize("NFKC", text).lower())
    return tuple(fold(word) for word in words if word not in STOP and (len(word) > 1 or word.isdigit()))


def normalised(text: str) -> str:
    """One form for interests that differ only in case, white space or Unicode composition."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def spelt(text: str) -> list[str]:
    """The words of `text` as names are compared: lower case, without accents: "J.R.R. Tolkien" -> ["j", "r", "r", "tolkien"]."""
    bare = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    return _WORD.findall(bare.casefold())


def name_key(name: str) -> str:
    """One form for a person's name, however its initials are written: "J. K. Rowling" and "JK Rowling" -> "jkrowling"."""
    return "".join(word for word in spelt(name) if word not in _SUFFIXES)
