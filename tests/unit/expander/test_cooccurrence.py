"""The catalogue as a backend."""

import asyncio
from pathlib import Path

import pytest

from expander.artefact import ArtefactFile
from expander.backends.cooccurrence import Cooccurrence
from expander.errors import ArtefactMissing
from servicekit.deadline import Deadline


async def test_it_answers_even_past_the_deadline_because_it_is_the_last_resort(artefact: Path) -> None:
    catalogue = Cooccurrence(ArtefactFile(artefact))
    assert await catalogue.propose("vampires", 5, Deadline.after_ms(-1)) == ("paranormal romance",)


async def test_many_first_requests_at_once_all_get_the_artefact(artefact: Path) -> None:
    catalogue = Cooccurrence(ArtefactFile(artefact))
    answers = await asyncio.gather(*(catalogue.propose("vampires", 5, Deadline.after_ms(1_000)) for _ in range(32)))
    assert set(answers) == {("paranormal romance",)}


async def test_it_has_no_model_without_an_artefact(tmp_path: Path) -> None:
    catalogue = Cooccurrence(ArtefactFile(tmp_path / "none.json"))
    assert catalogue.model is None
    with pytest.raises(ArtefactMissing):
        await catalogue.check()
