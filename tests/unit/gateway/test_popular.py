import asyncio
from pathlib import Path

from gateway.candidates import Candidate, Found, Search
from gateway.popular import PopularList
from servicekit.client import Unreachable
from servicekit.deadline import Deadline


class Retriever:
    """Gives `items`, the best first; fails while None."""

    def __init__(self, *items: str) -> None:
        self.items: tuple[str, ...] | None = items

    async def retrieve(self, search: Search, deadline: Deadline) -> Found:
        if self.items is None:
            raise Unreachable("retriever is not reachable")
        listed = tuple(Candidate(item, item.title(), {"n": place}, -place, {}) for place, item in enumerate(self.items))
        return Found(listed, {"popular": 1})


def best(held: PopularList, k: int = 9, **conditions: object) -> list[str]:
    found = held.best(k, conditions, frozenset())
    return [one.id for one in found.candidates] if found else []


async def test_the_list_survives_a_restart_without_the_retriever(tmp_path: Path) -> None:
    first = PopularList(Retriever("a", "b"), tmp_path / "popular.json", 60)
    assert await first.renew()
    retriever = Retriever()
    retriever.items = None
    second = PopularList(retriever, tmp_path / "popular.json", 60)
    assert not await second.renew()
    assert best(second) == ["a", "b"]


async def test_the_best_that_pass_are_given(tmp_path: Path) -> None:
    held = PopularList(Retriever("a", "b", "c", "d"), tmp_path / "popular.json", 60)
    assert held.best(1, {}, frozenset()) is None
    await held.renew()
    held.forget("b")
    assert best(held, 1, n={"gte": 1}) == ["c"]
    found = held.best(9, {}, frozenset("a"))
    assert found is not None
    assert [one.id for one in found.candidates] == ["c", "d"]


async def test_a_damaged_file_is_no_list_and_no_failure(tmp_path: Path) -> None:
    path = tmp_path / "popular.json"
    for content in ("{", "[1]", '[{"id": "a"}]', "3"):
        path.write_text(content)
        assert not PopularList(Retriever(), path, 60)


async def test_a_change_is_fetched_soon_and_not_after_the_interval(tmp_path: Path) -> None:
    held = PopularList(retriever := Retriever("a"), tmp_path / "popular.json", refresh_s=600)
    running = asyncio.create_task(held.run())
    while not held:
        await asyncio.sleep(0.01)
    retriever.items = ("b",)
    held.renew_soon()
    async with asyncio.timeout(5):
        while best(held) != ["b"]:
            await asyncio.sleep(0.01)
    running.cancel()
