"""`make evaluate`: import, train, tune on one part of the users, report on the rest. Knows the order of the work."""

import datetime
import os
import platform
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from pipelines import importer, jobs, sample
from pipelines.api import Api
from pipelines.bootstrap import EVENT_CHUNK, ITEM_CHUNK
from pipelines.evaluate import baselines, datasets, ladder, recalls
from pipelines.evaluate.chosen import LADDER, Chosen
from pipelines.evaluate.datasets import HeldOut, fraction
from pipelines.evaluate.interests import Interests, Stated
from pipelines.evaluate.report import K, Section, markdown
from pipelines.evaluate.served import Served
from pipelines.interactions import Interactions
from pipelines.suite import Suite

DATA = Path("../shared/data/goodbooks-coldstart")
OURS, CONTROL = "Warmstart, fused as served", "shuffled control (another user's evidence)"
BARE, OTHERS = "fused without topics", "fused with another interest's topics"
MOST_LIKED = 200
COLD_USERS = 4_000

Rank = Callable[[Sequence[str]], Sequence[str]]


def ranked(rank: Rank, shown: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """One ranking per user, in order."""
    with ThreadPoolExecutor(ladder.CALLERS) as callers:
        return list(callers.map(rank, shown))


def prepare(api: Api, suite: Suite, data: HeldOut) -> None:
    """Imports the sample's items and the training events, and trains on them; raises `ImportIncomplete` when a row was refused."""
    importer.run(api, "/v1/items", sample.items(), total=sample.ITEM_COUNT, label="books ", chunk=ITEM_CHUNK).complete()
    importer.run(api, "/v1/events", data.events(), total=len(data.training), label="events", chunk=EVENT_CHUNK).complete()
    jobs.refresh(api, suite.topics_path)


class Measurement:
    """The reported half: every method's rankings for the same users."""

    def __init__(self, served: Served, data: HeldOut, users: Mapping[str, Sequence[str]], interest_weight: float) -> None:
        self.served, self.data, self.users, self.interest_weight = served, data, users, interest_weight
        self.items = list(sample.items())
        self.stand_in = Interests({item["id"]: item for item in self.items})
        self.position = {item["id"]: place for place, item in enumerate(self.items)}
        self.baselines = baselines.build(self.items, Interactions.from_events(data.events()))

    def _offline(self, name: str, allowed: Any = None) -> Rank:
        score = self.baselines[name]

        def rank(seeds: Sequence[str]) -> list[str]:
            places = [self.position[item] for item in seeds]
            return [self.items[place]["id"] for place in baselines.top(score(places), places, K, allowed)]

        return rank

    def _alone(self, source: str, **request: Any) -> Rank:
        return lambda liked: self.served.alone(source, K, liked=list(liked), **request)

    def seeds(self, count: int) -> Section:
        """Cold users, `count` seeds shown."""
        section = Section(f"{count} seed{'s' * (count != 1)}", f"{len(self.users):,} users of whom {count} items are shown.")
        shown = [tuple(items[:count]) for items in self.users.values()]
        targets = [frozenset(items[count:]) for items in self.users.values()]
        methods: dict[str, Rank] = {"random": self._offline("random"), "popularity": self._offline("popularity")}
        methods["popular source alone"] = lambda liked: self.served.alone("popular", K, exclude=list(liked))
        if count:
            methods |= {
                name: self._offline(name)
                for name in ("TF-IDF of the seeds' text", "item-item CF (cosine)", "EASE with dropout, without text")
            }
            for source in ("similar", "collaborative"):
                methods[f"{source} source alone"] = self._alone(source)
        methods[OURS] = lambda liked: self.served.fused(K, liked_items=list(liked))
        for name, rank in methods.items():
            section.add(name, ranked(rank, shown), targets, len(self.items))
        if count:
            section.add(CONTROL, ranked(methods[OURS], shown[1:] + shown[:1]), targets, len(self.items))
        return section

    def cold_items(self) -> Section:
        """Warm users, ranking only items that nobody has touched."""
        users = sorted(self.data.profiles, key=lambda user: fraction(f"cold {user}"))[:COLD_USERS]
        note = f"{len(users):,} warm users; only the {len(self.data.cold_items)} items without any event are ranked."
        section = Section("Strictly cold items", note)
        shown = [self.data.profiles[user][:MOST_LIKED] for user in users]
        targets = [self.data.cold_targets[user] for user in users]
        pool = {"id": {"any": sorted(self.data.cold_items)}}
        allowed = np.array([item["id"] in self.data.cold_items for item in self.items])
        methods: dict[str, Rank] = {name: self._offline(name, allowed) for name in ("random", "TF-IDF of the seeds' text")}
        for source in ("similar", "collaborative"):
            methods[f"{source} source alone"] = self._alone(source, filter=pool)
        methods[OURS] = lambda liked: self.served.fused(K, liked_items=list(liked), filter=pool)
        for name, rank in methods.items():
            section.add(name, ranked(rank, shown), targets, len(self.data.cold_items))
        section.add(CONTROL, ranked(methods[OURS], shown[1:] + shown[:1]), targets, len(self.data.cold_items))
        return section

    def interests(self) -> Section:
        """Cold users of whom nothing is known but a stated interest; targets are the books they asked for."""
        told = "{:,} users who state one rare genre of theirs in the catalogue's words; targets are their held-out books of that genre."
        return self._interests("A stated interest, no seeds", told, self.stand_in.stated)

    def interests_said(self) -> Section:
        """The same in the words of a reader."""
        told = (
            "{:,} users who say the same in a sentence of their own, which does not use the catalogue's word for it"
            " (`pipelines/evaluate/said.tsv`, one sentence for each genre); the same targets."
        )
        return self._interests("A stated interest in a reader's words, no seeds", told, self.stand_in.said)

    def _interests(self, title: str, note: str, way: Callable[[Sequence[str]], Stated | None]) -> Section:
        stated = [found for items in self.users.values() if (found := way(items))]
        section = Section(title, note.format(len(stated)))
        targets, texts = [wanted for _, wanted in stated], [(text,) for text, _ in stated]
        others = self._topics_of_others(sorted({text for text, _ in stated}))
        popular, size = self._offline("popularity"), len(self.items)
        section.add("popularity", [popular(())] * len(texts), targets, size)

        def content(weight: float) -> Rank:
            return lambda said: self.served.alone("content", K, queries=self.served.queries(said[0], weight))

        section.add("interest alone, without topics", ranked(content(1.0), texts), targets, size)
        section.add("content source alone", ranked(content(self.interest_weight), texts), targets, size)
        section.add(BARE, ranked(lambda said: self.served.fused(K, interests=said, topics=()), texts), targets, size)
        section.add(OURS, ranked(lambda said: self.served.fused(K, interests=said), texts), targets, size)
        section.add(OTHERS, ranked(lambda said: self.served.fused(K, interests=said, topics=others[said[0]]), texts), targets, size)
        section.add(CONTROL, ranked(lambda said: self.served.fused(K, interests=said), texts[1:] + texts[:1]), targets, size)
        section.compared = ((OURS, BARE), (OURS, OTHERS))
        return section

    def _topics_of_others(self, texts: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """For each interest that gets topics as many of the next interest that has them; none for one that gets none."""
        having = [text for text in texts if self.served.topics(text)]
        following = dict(zip(having, having[1:] + having[:1], strict=True))
        return {text: self.served.topics(following[text]) if text in following else () for text in texts}


def _facts(data: HeldOut, digest: str, tuning: int, reported: int) -> dict[str, str]:
    return {
        "Data": f"{data.name}; {len(data.training):,} training pairs, {sample.ITEM_COUNT:,} items",
        "Users": f"{tuning:,} for choosing weights, {reported:,} reported",
        "Ladder": f"`{digest}`",
        "Machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "Command and date": f"`make evaluate`, {datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
    }


def run(chosen: Chosen) -> None:
    """Runs the whole measurement with its state under `chosen.state`, which is emptied first; writes the ladder and the page."""
    theirs = recalls.read(chosen.against) if chosen.against else None
    data = datasets.load(DATA)
    halves: dict[bool, dict[str, Sequence[str]]] = {True: {}, False: {}}
    for user, items in data.users.items():
        halves[fraction(f"tune {user}") < 0.5][user] = items
    tuning, reported = halves[True], halves[False]
    print(f"{data.name}: {len(tuning):,} users to choose weights on, {len(reported):,} to report.")
    shutil.rmtree(chosen.state, ignore_errors=True)  # what is measured is what today's code makes of the data, not what an older one left
    if chosen.out:
        chosen.out.mkdir(parents=True, exist_ok=True)
        shutil.copy(LADDER, chosen.ladder)  # the gateway needs one to start; it decides nothing until its successor is written
    with Suite(chosen.state.resolve(), chosen.settings()) as suite, Served(suite) as served:
        suite.wait_ready()
        facts = {"Encoder": f"`{served.fingerprint()}`"}
        with Api(suite.gateway_url) as api:
            prepare(api, suite, data)
        catalogue = {item["id"]: item for item in sample.items()}
        print("Choosing weights ...")
        weights = ladder.build(served, catalogue, tuning, {"data": data.name, "users": len(tuning), "command": "make evaluate"})
        facts |= _facts(data, ladder.write(weights, chosen.ladder), len(tuning), len(reported))
        with suite.killed("gateway"):
            print("Restarting the gateway with the new ladder ...")
        sections = measured(Measurement(served, data, reported, weights["interest_weight"]))
    page = markdown(sections, facts, weights, OURS, CONTROL)
    if chosen.out:
        ours = recalls.write(sections, chosen.out)
        if theirs:
            page += "\n".join(["", f"## Against {chosen.against}", "", *recalls.comparison(ours, theirs), ""])
    chosen.report.write_text(page)
    print(f"Written: {chosen.ladder}, {chosen.report}")


def measured(measurement: Measurement) -> list[Section]:
    """Every amount of evidence, from none on."""
    sections = []
    for title, measure in (
        *((f"{count} seeds", lambda count=count: measurement.seeds(count)) for count in (0, 1, 3)),
        ("stated interest", measurement.interests),
        ("stated interest in a reader's words", measurement.interests_said),
        ("strictly cold items", measurement.cold_items),
    ):
        print(f"Measuring: {title}")
        sections.append(measure())
    return sections
