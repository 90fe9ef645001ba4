"""A spiece.model tokenises as its tokenizer.json does, and as SentencePiece does."""

import gzip
import json
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoder.backends.tokens import Tokeniser
from encoder.errors import FileDamaged, ModelUnsupported

GOLDENS = Path(__file__).parents[5] / "shared" / "data" / "t5-tokenizer"
needs_goldens = pytest.mark.skipif(not GOLDENS.is_dir(), reason="the T5 tokeniser is not beside the repository")
NORMAL, UNKNOWN, CONTROL = 1, 2, 3
PIECES = (("<pad>", 0.0, CONTROL), ("</s>", 0.0, CONTROL), ("<unk>", 0.0, UNKNOWN), ("▁", -2.0, NORMAL))
WORDS = (("▁space", -3.0), ("▁opera", -4.0), ("▁op", -5.0), ("era", -5.5), ("s", -6.0))


def written(number: int, kind: int, value: bytes) -> bytes:
    return bytes([number << 3 | kind]) + (bytes([len(value)]) if kind == 2 else b"") + value


def spiece(folder: Path, model_type: int = 1, pieces: tuple[tuple[str, float, int], ...] = PIECES) -> Path:
    """A SentencePiece file with a handful of pieces and no normalisation."""
    content = b""
    for text, score, kind in (*pieces, *((*word, NORMAL) for word in WORDS)):
        piece = written(1, 2, text.encode()) + written(2, 5, struct.pack("<f", score)) + written(3, 0, bytes([kind]))
        content += written(1, 2, piece)
    # field 40, the id of <unk>, has a key of two bytes
    trainer = written(3, 0, bytes([model_type])) + b"\xc0\x02\x02"
    file = folder / "spiece.model"
    file.write_bytes(content + written(2, 2, trainer))
    return file


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("space opera", [4, 5, 1]),
        ("  space   opera ", [4, 5, 1]),
        ("spaces", [4, 8, 1]),
        ("op", [6, 1]),
        ("", [1]),
        ("space </s> <extra_id_0>", [4, 1, 108, 1]),
        ("<extra_id_99>", [9, 1]),
        ("zebra", [3, 2, 1]),
    ],
)
def test_pieces_are_found_by_their_probability_and_the_passage_ends_as_t5s_do(text: str, ids: list[int], tmp_path: Path) -> None:
    assert Tokeniser(spiece(tmp_path), 64, 0).encode(text) == ids


def test_the_number_of_extra_ids_is_the_files_own(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text('{"extra_ids": 0}')
    assert 9 not in Tokeniser(spiece(tmp_path), 64, 0).encode("<extra_id_99>")
    (tmp_path / "tokenizer_config.json").write_text('{"extra_ids": "many"}')
    with pytest.raises(FileDamaged, match=r"tokenizer_config\.json.*extra_ids"):
        Tokeniser(spiece(tmp_path), 64, 0)


def test_a_long_passage_is_cut_and_still_ends(tmp_path: Path) -> None:
    assert Tokeniser(spiece(tmp_path), 4, 0).encode("space opera " * 9) == [4, 5, 4, 1]


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x0a\x02\x0a\x00"])
def test_a_file_of_another_form_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "spiece.model").write_bytes(content)
    with pytest.raises(FileDamaged, match=r"spiece\.model is no SentencePiece model"):
        Tokeniser(tmp_path / "spiece.model", 64, 0)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    file = spiece(tmp_path)
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(FileDamaged, match=r"spiece\.model"):
        Tokeniser(file, 64, 0)


def test_what_is_not_of_t5s_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnsupported, match="no unigram model"):
        Tokeniser(spiece(tmp_path, model_type=2), 64, 0)
    without_end = tuple(piece for piece in PIECES if piece[0] != "</s>")
    with pytest.raises(ModelUnsupported, match="no </s>"):
        Tokeniser(spiece(tmp_path, pieces=without_end), 64, 0)


@needs_goldens
@pytest.mark.parametrize("file", ["spiece.model", "tokenizer.json"])
def test_all_golden_encodings_of_t5_are_reproduced(file: str) -> None:
    goldens = json.loads(gzip.decompress((GOLDENS / "golden_tests.json.gz").read_bytes()))
    tokeniser = Tokeniser(GOLDENS / file, 100_000, 0)
    assert len(goldens) == 1_995
    assert [text for text, ids, _ in goldens if tokeniser.encode(text) != ids] == []


@needs_goldens
def test_any_text_is_tokenised_alike_from_both_files() -> None:
    ours, theirs = (Tokeniser(GOLDENS / file, 100_000, 0) for file in ("spiece.model", "tokenizer.json"))

    @given(st.text(max_size=60))
    def alike(text: str) -> None:
        assert ours.encode(text) == theirs.encode(text)

    alike()
