"""What of `make evaluate` can be chosen: the encoder, and where the results go. Knows nothing of how anything is measured."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Self

LADDER, REPORT = Path("services/gateway/gateway/ladder.json"), Path("docs/quality.md")


class EvaluateRefused(ValueError):
    """What was chosen can not be measured or compared; the message says why."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the job."""
    parser.add_argument("--state", type=Path, default=Path(".warmstart-evaluate"), help="folder for state and logs; is emptied first")
    parser.add_argument("--out", type=Path, help="folder for the ladder, the page and every user's recalls, instead of the repository")
    parser.add_argument("--encoder-model", type=Path, help="model folder for the encoder instead of its default; needs --out")
    parser.add_argument("--against", type=Path, help="the --out of another run: the page tells which share of its recall is kept")


@dataclass(frozen=True)
class Chosen:
    """Without `out` the repository's own ladder and page are written, which are of the default encoder."""

    state: Path
    out: Path | None = None
    encoder_model: Path | None = None
    against: Path | None = None

    @classmethod
    def of(cls, parsed: argparse.Namespace) -> Self:
        """Raises `EvaluateRefused` where another encoder's results would go into the repository."""
        if parsed.out is None and (parsed.encoder_model or parsed.against):
            raise EvaluateRefused("--encoder-model and --against need --out FOLDER: what the repository holds is of the default encoder.")
        return cls(parsed.state, parsed.out, parsed.encoder_model, parsed.against)

    def settings(self) -> dict[str, str]:
        """Environment of the services that are started."""
        told = {} if self.encoder_model is None else {"ENCODER_MODEL": str(self.encoder_model.resolve())}
        return told if self.out is None else told | {"GATEWAY_LADDER_PATH": str(self.ladder.resolve())}

    @property
    def ladder(self) -> Path:
        return LADDER if self.out is None else self.out / LADDER.name

    @property
    def report(self) -> Path:
        return REPORT if self.out is None else self.out / REPORT.name
