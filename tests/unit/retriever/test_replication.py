"""A writer and a reader under random crashes, outages and losses: in the end the reader has what the writer has, and never half of it."""

import random
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest
from pydantic import ValidationError
from tests.unit.retriever.replicas import Reader, Writer, put

from retriever.errors import RetrieverError
from retriever.follower import REPLICAS
from retriever.position import CHANGES, HEAD, HEARD, PUBLISHED, remembered
from retriever.settings import Settings
from retriever.snapshot import take

STEPS = 60


class Story:
    """One writer, one reader, and all that can happen to them; every write of three items is one generation."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.folder, self.chance, self.number = folder, chance, 0
        self.writer = Writer(folder / "writer", str(folder / "objects"), snapshot_after=5)
        self.reader = Reader(folder / "reader", self.writer.url)
        self.states: dict[int, list[str]] = {0: []}

    def write(self) -> None:
        self.number += 1
        put(self.writer.library, *(f"{self.number:03}-{at}" for at in range(3)), seed=self.number)
        self.note()
        if self.chance.random() < 0.4:
            ids = self.states[self.writer.library.generation]
            self.writer.library.delete(self.chance.sample(ids, min(2, len(ids))))
            self.note()

    def note(self) -> None:
        library = self.writer.library
        self.states[library.generation] = [item.id for item in library.after("", 1_000)]

    def publish(self) -> None:
        self.writer.publisher.step()
        self.writer.publisher.wait_for_snapshot()

    def crash_while_publishing(self) -> None:
        if (self.writer.folder / PUBLISHED).exists() and (Path(self.writer.url) / HEAD).exists():
            with self.writer.crashing(*self.chance.choice([(PUBLISHED,), (HEAD, PUBLISHED)])):
                self.write()
                self.publish()

    def hear(self) -> None:
        self.reader.follower.step()

    def crash_while_hearing(self) -> None:
        """The change was applied, and that it was heard was not noted."""
        paths = list((self.reader.folder / REPLICAS).glob(f"*/{HEARD}"))
        before = [path.read_bytes() for path in paths]
        with suppress(RetrieverError):
            self.hear()
        self.reader.follower.close()
        for path, content in zip(paths, before, strict=True):
            if path.exists():
                path.write_bytes(content)
        self.reader.restarted()

    def lose_a_change(self) -> None:
        if changes := sorted(path for path in (Path(self.writer.url) / CHANGES).rglob("*") if path.is_file()):
            self.chance.choice(changes).unlink()

    def lose_the_head(self) -> None:
        (Path(self.writer.url) / HEAD).unlink(missing_ok=True)

    def snapshot(self) -> None:
        take(self.writer.folder, self.writer.url, follows=remembered(self.writer.folder / PUBLISHED, self.writer.url))

    def outage(self) -> None:
        away = Path(self.writer.url).rename(self.folder / "away")
        Path(self.writer.url).write_bytes(b"in the way")
        for act in (self.write, self.publish, self.hear):
            with suppress(RetrieverError):
                act()
        Path(self.writer.url).unlink()
        away.rename(self.writer.url)

    def check(self) -> None:
        """What the reader shows is what the writer had at that generation."""
        if self.reader.shown:
            assert self.reader.ids() == self.states[self.reader.library.generation]


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 122])  # 122 puts an announcement back whose deletions are forgotten already
def test_a_reader_shows_states_of_the_writer_only_and_the_last_in_the_end(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    print("seed", seed)
    monkeypatch.setattr("retriever.storage.PAUSES_S", ())
    story = Story(tmp_path, random.Random(seed))
    often: list[Callable[[], None]] = [story.write, story.publish, story.hear] * 4
    seldom = [
        story.crash_while_publishing,
        story.crash_while_hearing,
        story.snapshot,
        story.outage,
        story.lose_a_change,
        story.lose_the_head,
    ]
    with closing(story.writer.library):
        story.write()
        story.publish()
        for _ in range(STEPS):
            with suppress(RetrieverError):
                story.chance.choice([*often, *seldom])()
            story.check()
        story.write()
        story.publish()
        story.snapshot()
        story.hear()
        story.check()
        assert story.reader.library.generation == story.writer.library.generation
        story.reader.follower.close()


def test_a_process_does_not_follow_and_publish() -> None:
    with pytest.raises(ValidationError, match="follow_url and publish_url are both set"):
        Settings(follow_url="a", publish_url="b")
    assert Settings(follow_url="a").publish_url == Settings(publish_url="a").follow_url == ""
