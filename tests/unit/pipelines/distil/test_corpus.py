"""The training texts: catalogue passages, strings of words, and what is kept back."""

from itertools import islice
from typing import Any

import pytest

from pipelines import sample
from pipelines.distil import catalogue, corpus, vocabulary

WORDS = ["[PAD]", "the", "of", "house", "##ing", "a", "garden", "naïve", "x1", "river", "orchid"]


@pytest.fixture(scope="module")
def small() -> corpus.Corpus:
    return corpus.build(corpus.Sizes(phrases=1_500, strings=300, variants=1), WORDS, seed=5)


def _item(title: str, **attributes: Any) -> dict[str, Any]:
    return {"id": "1", "title": title, "attributes": attributes}


def test_a_passage_has_the_genres_that_add_a_word_then_title_and_authors() -> None:
    item = _item("Emma", genres=["regency-romance", "romance", "classics"], authors=["Jane Austen"])
    assert catalogue.passage(item) == "regency romance, classics: Emma by Jane Austen"
    assert catalogue.passage(_item("Emma")) == "Emma"


def test_a_passage_is_written_as_the_gateway_writes_it() -> None:
    passages = pytest.importorskip("gateway.passages")
    items = list(islice(sample.items(), 400))
    near = []
    for item in items:
        ours, theirs = catalogue.passage(item), passages.passage(item["title"], item["attributes"], None)
        assert ours.partition(": ")[2] == theirs.partition(": ")[2]
        genres, wanted = (set(text.partition(": ")[0].split(", ")) for text in (ours, theirs))
        near.append(len(genres & wanted) / len(genres | wanted))
    assert sum(near) / len(near) > 0.8  # each leaves repeated genres out by a rule of its own


def test_items_that_are_held_back_are_in_no_training_text(small: corpus.Corpus) -> None:
    items = list(sample.items())
    held = [item for item in items if catalogue.held_back(item)]
    assert 0.07 * len(items) < len(held) < 0.13 * len(items)
    assert small.passages == tuple(catalogue.passage(item) for item in held)
    learnt = "\n".join(small.training).lower()
    serial = [item["title"].lower() for item in held if "#" in item["title"]]  # a title with a number is nobody else's
    assert len(serial) > 100
    assert not [title for title in serial if f": {title} by" in learnt]


def test_phrases_that_are_held_back_are_not_trained_on(small: corpus.Corpus) -> None:
    assert small.phrases
    assert not set(small.phrases) & set(small.training)


def test_the_same_seed_builds_the_same_corpus_without_a_text_twice(small: corpus.Corpus) -> None:
    assert corpus.build(corpus.Sizes(phrases=1_500, strings=300, variants=1), WORDS, seed=5) == small
    assert len(set(small.training)) == len(small.training)


def test_texts_stay_within_their_limits_of_length(small: corpus.Corpus) -> None:
    lengths = [len(text.split()) for text in small.training]
    assert min(lengths) >= corpus.FEWEST_WORDS
    assert max(lengths) <= corpus.MOST_WORDS


def test_strings_are_made_of_whole_words_of_the_vocabulary() -> None:
    assert vocabulary.words(WORDS) == ["the", "house", "garden", "river", "orchid"]
    strings = list(islice(vocabulary.strings(WORDS, 3), 200))
    known = {*vocabulary.words(WORDS), *vocabulary.LINKS}
    assert {word for text in strings for word in text.split()} <= known
    assert all(any(word in text for text in strings) for word in vocabulary.words(WORDS))
