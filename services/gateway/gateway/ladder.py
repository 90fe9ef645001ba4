"""The ladder artefact: the measured weight of each source for each amount of evidence. Knows nothing of how it was measured."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gateway.errors import LadderInvalid

PACKAGED = Path(__file__).parent / "ladder.json"
Source = Literal["content", "similar", "collaborative", "popular"]


class Measured(BaseModel):
    """What the weights reached on the cases (a user and the items shown) they were chosen on."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    recall_at_20: float
    cases: int


class Step(BaseModel):
    """The weights from `touched` items on, with or without a stated interest."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    touched: Annotated[int, Field(ge=0)]
    interest: bool
    weights: dict[Source, Annotated[float, Field(ge=0, le=1000)]]
    measured: Measured | None = None

    @model_validator(mode="after")
    def _some_source_speaks(self) -> Self:
        if not any(self.weights.values()):
            raise ValueError("all weights are 0; give at least one source a positive weight")
        return self


class _Artefact(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    version: Literal[1]
    provenance: dict[str, Any]
    interest_weight: Annotated[float, Field(gt=0, le=1)]
    steps: Annotated[tuple[Step, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _starts_at_nothing(self) -> Self:
        places = [(step.touched, step.interest) for step in self.steps]
        if twice := {place for place in places if places.count(place) > 1}:
            raise ValueError(f"these (touched, interest) stand twice: {sorted(twice)}; keep one step of each")
        for place in ((0, False), (0, True)):
            if place not in places:
                raise ValueError(f"has no step for (touched, interest) = {place}; the ladder must start there")
        if not next(step for step in self.steps if (step.touched, step.interest) == (0, False)).weights.get("popular"):
            raise ValueError("the step for (touched, interest) = (0, False) has popular 0; nothing else can speak without evidence")
        return self


@dataclass(frozen=True)
class Ladder:
    """A validated artefact. `interest_weight` is the part of the query weight that an interest keeps beside its topics."""

    steps: tuple[Step, ...]
    interest_weight: float
    hash: str

    @cached_property
    def _descending(self) -> tuple[Step, ...]:
        return tuple(sorted(self.steps, key=lambda step: -step.touched))

    def _nearest(self, touched: int, interest: bool) -> Step:
        return next(step for step in self._descending if step.interest == interest and step.touched <= touched)

    def weights(self, touched: int, interest: bool) -> Mapping[Source, float]:
        """Weights for `touched` known items: those of the largest step not above it.

        Where interests were measured for fewer touched items than clicks were, neither may be ignored: the step without interest
        counts, with the content weight of the nearest step that has one.
        """
        step = self._nearest(touched, interest)
        clicks = self._nearest(touched, False)
        if interest and clicks.touched > step.touched:
            return {**clicks.weights, "content": step.weights.get("content", 0.0)}
        return step.weights


def load(path: Path | None) -> Ladder:
    """Reads the artefact at `path`, or the packaged one; raises `LadderInvalid` when it can not be used."""
    chosen = path or PACKAGED
    try:
        content = chosen.read_bytes()
        artefact = _Artefact.model_validate_json(content)
    except OSError as error:
        raise LadderInvalid(f"The ladder artefact {chosen} can not be read: {error.strerror}; set GATEWAY_LADDER_PATH.") from error
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'the file'}: {fault['msg']}" for fault in error.errors())
        raise LadderInvalid(f"The ladder artefact {chosen} is not valid: {faults}. `make evaluate` writes a new one.") from error
    return Ladder(artefact.steps, artefact.interest_weight, hashlib.sha256(content).hexdigest()[:16])
