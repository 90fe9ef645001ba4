"""What can go wrong while a file is embedded. Knows no exit status.

EmbedFailed
├── InputUnusable       the file, a field or a row of it can not be embedded; nothing was sent
├── EncoderRefused      the encoder refused passages, answered nonsense, or did not answer for too long
├── FingerprintChanged  the encoder embeds into another space than the parts that are there
└── ResumeRefused       what lies at the output is of something else, damaged, or being written by another run
"""


class EmbedFailed(Exception):
    """The root of the job's errors; the message says what to do."""


class InputUnusable(EmbedFailed):
    """The file, a field or a row of it can not be embedded; nothing was sent."""


class EncoderRefused(EmbedFailed):
    """The encoder refused passages, answered nonsense, or did not answer for too long."""


class FingerprintChanged(EmbedFailed):
    """The encoder embeds into another space than the parts that are there."""


class ResumeRefused(EmbedFailed):
    """What lies at the output is of something else, damaged, or being written by another run."""
