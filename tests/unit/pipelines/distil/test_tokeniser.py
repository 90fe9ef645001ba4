"""The teacher's tokeniser without unused tokens."""

from typing import Any

import pytest

tokeniser = pytest.importorskip("pipelines.distil.tokeniser", reason="needs the tokenizers package")
PADDING = {
    "strategy": {"Fixed": 16},
    "direction": "Right",
    "pad_to_multiple_of": None,
    "pad_id": 0,
    "pad_type_id": 0,
    "pad_token": "[PAD]",
}
VOCABULARY = ["[PAD]", "[unused0]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[unused2]", "war", "and", "peace", "##s"]


def _definition() -> dict[str, Any]:
    ids = {token: place for place, token in enumerate(VOCABULARY)}
    special = {token: {"id": token, "ids": [ids[token]], "tokens": [token]} for token in ("[CLS]", "[SEP]")}
    single = [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    single.append({"SpecialToken": {"id": "[SEP]", "type_id": 0}})
    added = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    model = {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": ids}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": PADDING,
        "added_tokens": [{"id": ids[token], "content": token, **added} for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]")],
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing", "single": single, "pair": single, "special_tokens": special},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": model,
    }


def test_a_text_has_the_same_tokens_with_other_ids() -> None:
    theirs = _definition()
    ours = tokeniser.trimmed(theirs)
    texts = ["War and peaces", "nothing known", ""]
    words, kept = tokeniser.vocabulary(theirs), tokeniser.vocabulary(ours)
    before = [[words[token] for token in ids] for ids in tokeniser.encoded(theirs, texts)]
    after = [[kept[token] for token in ids] for ids in tokeniser.encoded(ours, texts)]
    assert before == after
    assert before[0] == ["[CLS]", "war", "and", "peace", "##s", "[SEP]"]


def test_only_tokens_that_no_text_has_are_dropped() -> None:
    ours = tokeniser.trimmed(_definition())
    assert tokeniser.vocabulary(ours) == [token for token in VOCABULARY if not token.startswith("[unused")]


def test_each_kept_token_leads_back_to_the_teachers_id() -> None:
    theirs = _definition()
    ours = tokeniser.trimmed(theirs)
    ids = tokeniser.teachers_ids(theirs, ours)
    assert [VOCABULARY[token] for token in ids] == tokeniser.vocabulary(ours)


def test_nothing_is_padded_and_long_texts_are_cut() -> None:
    ours = tokeniser.trimmed(_definition())
    short, long = tokeniser.encoded(ours, ["war", "war " * 1_000])
    assert len(short) == 3
    assert len(long) == tokeniser.MOST_TOKENS
