"""Makes the tokeniser of a T5 from its spiece.model, a SentencePiece unigram model. Knows nothing of models that use it.

Format: sentencepiece_model.proto of SentencePiece (Kudo and Richardson, 2018); the segmentation itself is Kudo (2018), section 3.
"""

import json
import struct
from dataclasses import dataclass
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

from encoder.backends import protobuf
from encoder.errors import FileDamaged, ModelUnsupported

FILE = "spiece.model"
OPTIONS = "tokenizer_config.json"
EXTRA_IDS = 100
"""The `<extra_id_N>` that T5 puts after the pieces of the file, where tokenizer_config.json does not say how many."""
UNIGRAM = 1
CONTROL = 3
END = "</s>"


@dataclass(frozen=True)
class Pieces:
    """What of a SentencePiece file makes a tokeniser: pieces with their log probabilities, and how text is prepared."""

    scored: list[tuple[str, float]]
    controls: list[str]
    charsmap: bytes
    byte_fallback: bool
    unknown: int


def read(file: Path) -> Tokenizer:
    """The tokeniser; raises `FileDamaged`, and `ModelUnsupported` for a file that is not of T5's kind."""
    try:
        pieces = _pieces(file, file.read_bytes())
        tokenizer = Tokenizer(models.Unigram(pieces.scored, pieces.unknown, pieces.byte_fallback))
        if pieces.charsmap:
            tokenizer.normalizer = normalizers.Precompiled(pieces.charsmap)
    except ModelUnsupported:
        raise
    except Exception as error:  # tokenizers raises plain Exception
        raise FileDamaged(f"{file} is no SentencePiece model ({error}); fetch it again.") from error
    split = pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(list(split))
    unknown = pieces.scored[pieces.unknown][0]
    extras = [f"<extra_id_{number}>" for number in reversed(range(_extra_ids(file.with_name(OPTIONS))))]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in (*pieces.controls, unknown, *extras)])
    if END not in pieces.controls:
        raise ModelUnsupported(f"{file} has no {END}, with which a T5 ends every passage; use the model's tokenizer.json.")
    ends = [(END, tokenizer.token_to_id(END))]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"$A {END}", pair=f"$A {END} $B {END}", special_tokens=ends)
    return tokenizer


def _pieces(file: Path, content: bytes) -> Pieces:
    scored, controls, charsmap, trainer = list[tuple[str, float]](), list[str](), b"", dict[int, int | bytes]()
    for number, value in protobuf.fields(content):
        if not isinstance(value, bytes):
            continue
        if number == 1:
            piece = dict(protobuf.fields(value))
            text = _bytes(piece[1]).decode()
            scored.append((text, struct.unpack("<f", _bytes(piece[2]))[0]))
            if piece.get(3) == CONTROL:
                controls.append(text)
        elif number == 2:
            trainer = dict(protobuf.fields(value))
        elif number == 3:
            charsmap = _bytes(dict(protobuf.fields(value)).get(2, b""))
    if trainer.get(3, UNIGRAM) != UNIGRAM:
        raise ModelUnsupported(f"{file} holds no unigram model; T5's are. Use the model's tokenizer.json.")
    return Pieces(scored, controls, charsmap, bool(trainer.get(35, 0)), int(trainer.get(40, 0)))


def _bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("a number where text or a fraction should be")
    return value


def _extra_ids(options: Path) -> int:
    try:
        return int(json.loads(options.read_bytes()).get("extra_ids", EXTRA_IDS)) if options.exists() else EXTRA_IDS
    except (ValueError, AttributeError, TypeError) as error:
        raise FileDamaged(f"{options} does not say how many extra_ids there are ({error}); fetch it again.") from error
