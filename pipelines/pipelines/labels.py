"""Turns the tags that people put on books into clean topic labels. Knows nothing of items.

Tags come from shelves ("to-read-manga", "sci-fi-and-fantasy", "children-s-lit"), so one subject has many spellings, and some
tags list several subjects or say something of the reader instead of the book.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_SPELLINGS = tuple(
    (re.compile(rf"\b(?:{pattern})\b"), atom)
    for pattern, atom in (
        (r"sci ?fi|science fiction|sciencefiction|sf", "science_fiction"),
        (r"young adults?|ya na|ya|teens?|teenlit|teenage|youth", "young_adult"),
        (r"young children|children(?: ?s)?|kids?|kid s|juvenile|junior|childhood|j(?= fiction)", "children's"),
        (r"childrensbooks", "children's"),
        (r"middle grades?", "middle_grade"),
        (r"new adult", "new_adult"),
        (r"high school", "high_school"),
        (r"picture books?", "picture_books"),
        (r"chapter books?", "chapter_books"),
        (r"self help", "self_help"),
        (r"non fiction", "nonfiction"),
        (r"historicalfiction|historical fic|history fiction", "historical fiction"),
        (r"historic|historicals", "historical"),
        (r"christianfiction", "christian fiction"),
        (r"(?:world war|ww) ?(?:2|ii|ll|two)", "world_war_ii"),
        (r"(?:world war|ww) ?(?:1|i|one)", "world_war_i"),
        (r"bios?", "biography"),
        (r"auto biography", "autobiography"),
        (r"women ?s", "women's"),
        (r"contemp", "contemporary"),
        (r"para", "paranormal"),
        (r"alt(?:ernative)? history", "alternate history"),
        (r"(?:u s|us) history", "american history"),
        (r"magic(?:al)? realism", "magical_realism"),
        (r"magical", "magic"),
        (r"royals", "royalty"),
        (r"romance suspense|suspense romance", "romantic suspense"),
        (r"graphic novels?", "graphic_novels"),
        (r"comic books?|comics?(?! fantasy)", "comics"),
        (r"cosy", "cozy"),
        (r"humour", "humor"),
        (r"shojo", "shoujo"),
        (r"(?<!chick )lit", "literature"),
    )
)


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_SHELF = _set(
    "to read reads reading own owned my i ve favorite favorites favourite favourites best good books book the a of for in genre general "
    "other misc series collection library kindle ebook ebooks audiobook audiobooks wishlist wish list shelf tbr dnf currently popular pop "
    "adult penguin bought finished unread want punya vaginal creepy"
)
_PRAISE = _set("award awards prize winner winners winning pulitzer newbery caldecott hugo nebula printz booker bestseller bestsellers")
_LEADING = _set("fantasy romance mystery thriller suspense horror fiction manga classics")
_HEADS = _LEADING | _set("history comics nonfiction science_fiction gothic economics")
_AUDIENCES = _set("children's young_adult")
_PROPER = {
    word.lower(): word
    for word in _set(
        "American British English French German Russian Irish Spanish Christian African Asian Canadian Indian Japanese Latin Victorian "
        "European Arabic Greek Scandinavian Nordic DC World_War_I World_War_II"
    )
}
GENERIC = _set("fiction literature novel story book")
"""Folded words that name no subject: "horror fiction" and "horror" are one topic."""
_VAGUE = _set("world modern short traditional")
"""Words that name a topic only together with a generic one: "world" alone does not mean world literature."""
_BRITISH = {"cozy": "cosy", "humor": "humour"}


READERS_WORDS = {
    **{f"{age} year old": "children's picture books" for age in range(1, 5)},
    **{f"{age} year old": "children's" for age in range(5, 12)},
    **{f"{age} year old": "young adult" for age in range(12, 18)},
    "whodunit": "murder mystery",
    "espionage": "spy fiction",
    "spies": "spy fiction",
    "secret agents": "spy fiction",
    "courtroom": "legal thriller",
    "lawyers": "legal thriller",
    "serial killers": "psychological thriller",
    "police": "detective",
    "sleuth": "detective",
    "funny": "humor fantasy",
    "humorous": "humor fantasy",
    "satire": "comic fantasy",
    "scary": "horror",
    "spooky": "ghosts",
    "haunted": "ghosts",
    "haunted house": "ghosts",
    "dystopian": "young adult dystopia",
    "dystopia": "young adult dystopia",
    "sorcerers": "wizards",
    "myths": "mythology",
    "gods": "mythology",
    "philosophical": "philosophy",
    "historical": "historical fiction",
    "space opera": "space",
    "outer space": "space",
    "extraterrestrial": "aliens",
    "kings": "royalty",
    "queens": "royalty",
    "princess": "royalty",
    "poems": "poetry",
    "verse": "poetry",
    "superheroes": "comics",
    "short stories": "short fiction",
    "picture books": "children's picture books",
    "finance": "economics finance",
}
"""What readers say, and the label it means; left out where the catalogue has no such topic."""

SAME_WORDS = {"cooking": "food", "cookery": "food", "cookbook": "food", "recipe": "food", "culinary": "food", "wine": "food"}
"""What readers say, and the word of titles that tells as much; used where titles do not have the reader's word often enough."""


@dataclass(frozen=True)
class Topic:
    """One subject: its label, and every spelling met for it (with spaces, lower case)."""

    label: str
    spellings: tuple[str, ...]


def fold(word: str) -> str:
    """The word without a plural ending: mysteries -> mystery, witches -> witch, dragons -> dragon."""
    if len(word) <= 3 or word.endswith(("ss", "us", "is", "'s")):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y" if len(word) > 4 else word[:-1]
    if word.endswith(("ches", "shes", "xes", "sses")):
        return word[:-2]
    return word[:-1] if word.endswith("s") else word


def words_of(text: str) -> list[str]:
    """Lower-case words of letters and digits; an apostrophe ends a word."""
    return re.findall(r"[^\W_]+", text.lower())


def cleaned(tag: str) -> tuple[str, ...]:
    """The words of a tag in one spelling, without shelf noise; () when it names no subject. `science_fiction` is one word."""
    text = " ".join(words_of(re.sub(r"^\d+[-_ ]", "", tag)))  # "02-fantasy" is numbered for its place on the shelf
    for pattern, atom in _SPELLINGS:
        text = pattern.sub(atom, text)
    words = [word for word in text.split() if word not in _SHELF]
    if not any(char.isalpha() for word in words for char in word):
        return ()
    if len(words) > 1 and words[0] in _LEADING and words[-1] not in _HEADS and fold(words[-1]) not in GENERIC:
        words = [*words[1:], words[0]]  # "fantasy-urban" is urban fantasy
    if any(word in _PRAISE for word in words) or all(fold(word) in GENERIC or word == "and" for word in words):
        return ()
    return tuple(words)


def key_of(words: Iterable[str]) -> frozenset[str]:
    """What makes two cleaned tags the same topic: their folded words in any order, without "and" and generic ones."""
    return frozenset(fold(word) for word in words if word != "and") - GENERIC


def _label(words: Iterable[str]) -> str:
    return " ".join(_PROPER.get(word, word) for word in words).replace("_", " ")


def merged(counts: Mapping[str, int]) -> dict[str, Topic]:
    """Tag -> topic, for the tags that name one subject; `counts` says how many items carry each tag.

    A tag that lists subjects is left out: one that is spelt with "and" by somebody ("mystery-and-suspense"), and every tag that
    contains all its words ("mystery-suspense-thriller").
    """
    groups: dict[frozenset[str], Counter[tuple[str, ...]]] = {}
    tags: dict[str, frozenset[str]] = {}
    listed: set[frozenset[str]] = set()
    for tag, count in counts.items():
        if not (words := cleaned(tag)):
            continue
        key = tags[tag] = key_of(words)
        if "and" in words:
            listed.add(key)
        groups.setdefault(key, Counter())[words] += count
    alone = {word for key in groups if len(key) == 1 for word in key}
    listed |= {
        key
        for key, variants in groups.items()
        if key <= alone and not any(words[-1] in _HEADS or _AUDIENCES & set(words) for words in variants)
    }
    listed = {key for key in listed if len(key) > 1}
    topics = {
        key: _topic(variants, [tag for tag in counts if tags.get(tag) == key])
        for key, variants in groups.items()
        if not any(listing <= key for listing in listed)
    }
    return {tag: topics[key] for tag, key in tags.items() if key in topics}


def _topic(variants: Counter[tuple[str, ...]], tags: list[str]) -> Topic:
    label = _label(min(variants.items(), key=lambda pair: (-pair[1], pair[0]))[0])
    spellings = {label.lower(), *(_label(words).lower() for words in variants)}
    spellings |= {" ".join(words_of(tag)) for tag in tags if not _SHELF & set(words_of(tag))}
    for words in variants:
        bare = [word for word in words if fold(word) not in GENERIC]
        if not _VAGUE & set(bare):
            spellings.add(_label(bare).lower())
    for american, british in _BRITISH.items():
        spellings |= {spelling.replace(american, british) for spelling in spellings}
    return Topic(label, tuple(sorted(spellings)))
