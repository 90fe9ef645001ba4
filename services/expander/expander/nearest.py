"""Finds the catalogue's topics that are nearest in meaning to an interest, with the encoder's help. Knows nothing of how words are matched.

An interest has parts ("space opera with political intrigue"), and what is nearest to the whole may be about one of them only. So each
part is looked up as well, and where none of the whole's topics is about it, its own nearest joins them.

The labels are embedded once for each vocabulary and encoder, behind requests; an interest and its parts are embedded in one call when it is
asked for. An encoder that fails is left alone for a while: whoever asks then has to do without.
"""

import asyncio
import time
from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import mul

from expander import vocabulary
from expander.artefact import Topics
from expander.clients import EncoderClient
from servicekit import logs
from servicekit.client import ServiceError
from servicekit.deadline import Deadline

LOG = logs.get(__name__)
MOST, MOST_OF_WHOLE, MOST_PARTS = 5, 3, 4
LEAST, WITHIN = 0.35, 0.1
"""A topic has at least this cosine with the interest, and comes at most that far behind the nearest; so does one that is about a part.
Chosen with MiniLM on tuning users of `make evaluate`, beside 0.4 and 0.15; interests that name nothing ("qwerty") stay below."""
LEAST_OF_PART = 0.45
"""The same of a topic that only a part brings: fewer words are near more topics. Chosen there beside 0.35, 0.4, 0.5 and 0.55."""
MOST_LABELS, BATCH = 1_000, 256
PATIENCE_MS, LOADING_MS, RETRY_S, LOOK_S = 200, 2_000, 5.0, 1.0
REMEMBERED = 4_096


@dataclass(frozen=True)
class _Space:
    """The labels of one vocabulary as one encoder embeds them, and the interests that were looked up among them."""

    topics: Topics
    fingerprint: str
    places: tuple[int, ...]
    embeddings: tuple[Sequence[float], ...]
    found: "OrderedDict[str, tuple[str, ...]]" = field(default_factory=OrderedDict)

    def nearest(self, interest: Sequence[float], parts: Sequence[Sequence[float]]) -> tuple[str, ...]:
        """The nearest to the whole, then one topic for each part that has any, then the others of the whole; at most `MOST`."""
        cosines = self._cosines(interest)
        best = sorted(range(len(cosines)), key=lambda at: (-cosines[at], at))[:MOST_OF_WHOLE]
        whole = [at for at in best if cosines[at] >= max(LEAST, cosines[best[0]] - WITHIN)]
        heard = whole[:1]
        for part in parts:
            cosines = self._cosines(part)
            highest = max(cosines)
            if highest >= LEAST_OF_PART:
                heard.append(next((at for at in (*heard, *whole) if cosines[at] >= highest - WITHIN), cosines.index(highest)))
        return tuple(self.topics.labels[self.places[at]] for at in dict.fromkeys((*heard, *whole)))[:MOST]

    def _cosines(self, embedding: Sequence[float]) -> list[float]:
        """15 microseconds for each label."""
        return [sum(map(mul, embedding, label)) for label in self.embeddings]

    def keep(self, interest: str, labels: tuple[str, ...]) -> None:
        self.found[interest] = labels
        if len(self.found) > REMEMBERED:
            self.found.popitem(last=False)


class Nearest:
    """Topics by meaning. None stands for "not now": no encoder, a slow one, or labels that are still on their way."""

    def __init__(self, encoder: EncoderClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._encoder, self._clock = encoder, clock
        self._space: _Space | None = None
        self._loading: asyncio.Task[None] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._not_before = 0.0
        self._failing = False

    def keep_loaded(self, current: Callable[[], Topics | None]) -> None:
        """From now on embeds the labels of the vocabulary in use as soon as the encoder can, so that no request waits for them."""
        self._keeping = asyncio.create_task(self._keep(current), name="labels")

    async def labels(self, topics: Topics, interest: str, deadline: Deadline) -> tuple[str, ...] | None:
        """At most `MOST` labels, that nearest to the whole first; () when none is near."""
        if (space := await self._current(topics, deadline)) is None:
            return None
        if (known := space.found.get(interest)) is not None:
            return known
        if self._clock() < self._not_before or deadline.expired:
            return None
        parts = vocabulary.parts(interest)[:MOST_PARTS]
        texts = [interest, *parts] if len(parts) > 1 else [interest]
        try:
            fingerprint, embeddings = await self._encoder.embed(texts, _sooner(deadline, PATIENCE_MS))
        except ServiceError as error:
            self._leave_alone(error)
            return None
        self._failing = False
        if fingerprint != space.fingerprint:
            self._space = None  # another model is served now: its labels come with the next request
            return None
        found = await asyncio.to_thread(space.nearest, embeddings[0], embeddings[1:])
        space.keep(interest, found)
        return found

    async def close(self) -> None:
        running = [task for task in (self._keeping, self._loading) if task is not None]
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)

    async def _keep(self, current: Callable[[], Topics | None]) -> None:
        while True:
            if (topics := current()) is not None:
                await self._current(topics, Deadline.after_ms(LOADING_MS))
            await asyncio.sleep(RETRY_S if self._failing else LOOK_S)

    async def _current(self, topics: Topics, deadline: Deadline) -> _Space | None:
        """The labels' embeddings; waits for them as long as the deadline allows, 2 s at most."""
        if self._space is not None and self._space.topics is topics:
            return self._space
        if self._loading is None or self._loading.done():
            if self._clock() < self._not_before:
                return None
            self._loading = asyncio.create_task(self._load(topics))
        await asyncio.wait({self._loading}, timeout=max(0.0, _sooner(deadline, LOADING_MS).remaining_s))
        return self._space if self._space is not None and self._space.topics is topics else None

    async def _load(self, topics: Topics) -> None:
        places = [place for place in range(len(topics.labels)) if place not in topics.common][:MOST_LABELS]
        embedded: list[Sequence[float]] = []
        fingerprints: set[str] = set()
        try:
            for start in range(0, len(places), BATCH):
                texts = [topics.labels[place] for place in places[start : start + BATCH]]
                fingerprint, embeddings = await self._encoder.embed(texts, Deadline.after_ms(LOADING_MS))
                fingerprints.add(fingerprint)
                embedded += [array("f", one) for one in embeddings]
        except ServiceError as error:
            self._leave_alone(error)
            return
        if len(fingerprints) == 1:  # else the model changed in between: once more, with the next request
            self._space, self._failing = _Space(topics, fingerprints.pop(), tuple(places), tuple(embedded)), False

    def _leave_alone(self, error: ServiceError) -> None:
        if not self._failing:  # said once for each time that it goes away
            LOG.warning("encoder_not_used", reason=str(error))
        self._failing = True
        self._not_before = self._clock() + RETRY_S


def _sooner(deadline: Deadline, milliseconds: float) -> Deadline:
    return min(Deadline.after_ms(milliseconds), deadline, key=lambda one: one.at)
