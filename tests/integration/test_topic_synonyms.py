"""What the real encoder takes for the same topic.

`topic_pairs.tsv` beside the unit tests holds pairs labelled by hand; the threshold was chosen on the part `choosing` alone.
"""

from pathlib import Path

import pytest

from expander import synonyms
from expander.clients import EncoderClient
from expander.metrics import ExpanderMetrics
from pipelines.suite import Suite
from servicekit.client import ServiceClient, connections
from servicekit.deadline import Deadline

PAIRS = Path(__file__).parents[1] / "unit" / "expander" / "topic_pairs.tsv"


@pytest.fixture(scope="module")
def encoder_url(tmp_path_factory: pytest.TempPathFactory) -> object:
    suite = Suite(tmp_path_factory.mktemp("encoder"))
    try:
        suite.start("encoder")
        suite.wait_ready("encoder")
        yield suite.url("encoder")
    finally:
        suite.stop()


async def test_half_of_the_same_are_found_and_nearly_no_different_ones_taken_for_the_same(encoder_url: str) -> None:
    rows = [line.split("\t") for line in PAIRS.read_text(encoding="utf-8").splitlines()]
    reported = [(kind, one, other) for part, kind, one, other in rows if part == "reporting"]
    texts = sorted({text for _, *pair in reported for text in synonyms.passages(pair)})
    async with connections() as session:
        client = EncoderClient(ServiceClient("encoder", encoder_url, session))
        embeddings = {}
        for text in texts:
            embeddings[text] = (await client.embed([synonyms.SENTENCE.format(text)], Deadline.after_ms(20_000)))[1][0]
    taken = [(kind, one, other) for kind, one, other in reported if synonyms.alike(one, other, embeddings) >= synonyms.SAME]
    same = sum(kind == "same" for kind, *_ in reported)
    assert same == 50
    assert sum(kind == "same" for kind, *_ in taken) >= 24
    assert sum(kind == "different" for kind, *_ in taken) <= 2, [row for row in taken if row[0] == "different"]


async def test_five_topics_are_compared_within_the_patience(encoder_url: str) -> None:
    topics = ("magic schools", "schools of magic", "dragons", "high fantasy", "low fantasy")
    metrics = ExpanderMetrics()
    async with connections() as session:
        chosen = synonyms.Distinct(EncoderClient(ServiceClient("encoder", encoder_url, session)), metrics)
        answers = [await chosen.of(topics, Deadline.after_ms(5_000)) for _ in range(5)]
    assert ("magic schools", "dragons", "high fantasy", "low fantasy") in answers
