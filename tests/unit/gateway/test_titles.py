import asyncio

from gateway.catalogue import Item
from gateway.titles import Titles
from servicekit.deadline import Deadline


class Retriever:
    """Knows every item, and how many look-ups it had at once."""

    def __init__(self) -> None:
        self.asked, self.open, self.most = list[str](), 0, 0

    async def item(self, item_id: str, deadline: Deadline) -> Item | None:
        self.asked.append(item_id)
        self.open += 1
        self.most = max(self.most, self.open)
        await asyncio.sleep(0)
        self.open -= 1
        return Item(item_id, item_id.upper(), {})


async def test_only_unknown_titles_are_looked_up_and_few_at_once() -> None:
    titles = Titles(retriever := Retriever())
    titles.learn([("i0", "Known")])
    await titles.look_up([f"i{number}" for number in range(30)], Deadline.after_ms(1_000))
    assert retriever.asked == [f"i{number}" for number in range(1, 21)]
    assert retriever.most == 5
    assert (titles.known()["i0"], titles.known()["i1"]) == ("Known", "I1")
