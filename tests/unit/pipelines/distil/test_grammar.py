"""Phrases from the grammar."""

from itertools import islice
from random import Random

import pytest

from pipelines.distil import grammar
from pipelines.distil.grammar import GrammarBroken


def test_the_same_seed_writes_the_same_phrases_and_another_seed_others() -> None:
    once, again, other = (list(islice(grammar.phrases(seed), 50)) for seed in (3, 3, 4))
    assert once == again
    assert once != other


def test_every_rule_of_the_grammar_is_reached_and_leaves_no_slot_open() -> None:
    rules = grammar.parse(grammar.RULES.read_text(encoding="utf-8"))
    reached, waiting = set(), ["text"]
    while waiting:
        name = waiting.pop()
        reached.add(name)
        waiting += [slot for one in rules[name] for slot in rules if f"{{{slot}}}" in one and slot not in reached]
    assert reached == set(rules)
    for name in rules:
        phrase = grammar.written(rules, name, Random(1))
        assert phrase
        assert not set("{}|") & set(phrase)


def test_phrases_are_short_and_seldom_the_same() -> None:
    phrases = list(islice(grammar.phrases(5), 2_000))
    assert len(set(phrases)) > 0.85 * len(phrases)
    assert max(len(phrase.split()) for phrase in phrases) <= 70


def test_phrases_are_of_more_than_books() -> None:
    said = " ".join(islice(grammar.phrases(6), 3_000))
    assert all(word in said for word in ("film", "game", "recipe", "hotel", "headphones", "violin", "economics", "vampires"))


def test_a_list_is_rarely_drawn_twice_with_the_same_result() -> None:
    rules = grammar.parse("pair:\n{one} and {one}\n\none:\na | b | c | d")
    random = Random(2)
    same = sum(len(set(grammar.written(rules, "pair", random).split(" and "))) == 1 for _ in range(400))
    assert same < 0.12 * 400  # a quarter without the second draw


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a | b", "before the first rule"),
        ("text:\n{nothing}", "nothing"),
        ("text:\n", "empty alternative"),
        ("text:\na | | b", "empty alternative"),
    ],
)
def test_a_broken_grammar_is_refused_with_the_rule_in_the_message(text: str, named: str) -> None:
    with pytest.raises(GrammarBroken, match=named):
        grammar.parse(text)


def test_a_grammar_that_leads_back_to_itself_is_refused() -> None:
    with pytest.raises(GrammarBroken, match="leads back to itself"):
        grammar.written(grammar.parse("text:\n{text} on"), "text", Random(0))
