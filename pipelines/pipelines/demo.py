"""The main job from nothing: start the suite, import the sample, train, show. Knows how to show answers, not how they are made."""

import contextlib
import json
import signal
import textwrap
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines import bootstrap, sample
from pipelines.api import Api
from pipelines.suite import SERVICES, Suite

EXAMPLES: tuple[tuple[str, dict[str, Any]], ...] = (
    ('A stranger who types "space opera with political intrigue"', {"interests": ["space opera with political intrigue"]}),
    ("A stranger who liked 1984", {"liked_items": ["13"]}),
    ('A stranger who liked The Hunger Games and types "dystopia"', {"interests": ["dystopia"], "liked_items": ["1"]}),
)


def _prepared(folder: Path) -> Path:
    return folder / "sample.json"


def prepare(api: Api, suite: Suite) -> None:
    """Imports the sample and trains on it, once: a second call finds the mark that the first left and does nothing.

    Raises `ImportIncomplete` and leaves no mark when a row was refused; what was stored stays, and importing it again changes nothing.
    """
    mark = _prepared(suite.folder)
    if mark.exists() and (done := json.loads(mark.read_text()))["sample"] == sample.digest():
        print(f"The sample is there already: {done['stored']}.")
        return
    items, events = bootstrap.fill(api, bootstrap.sampled(), suite.topics_path)
    mark.write_text(json.dumps({"stored": f"{items:,} books and {events:,} events", "sample": sample.digest()}))


def _reasons(item: Mapping[str, Any]) -> str:
    return "; ".join(reason["text"] for reason in item["reasons"][:2])


def _show(title: str, answer: Mapping[str, Any], degraded: Sequence[Mapping[str, Any]]) -> None:
    print(f"\n{title}")
    print(f"  rung {answer['rung']}" + "".join(f", degraded: {d['stage']} ({d['substitute']})" for d in answer["degraded"]))
    for one in degraded:
        print(textwrap.fill(f"{one['stage']}: {one['reason']}", 110, initial_indent="  ", subsequent_indent="    "))
    if answer["topics"]:
        topics = ", ".join(topic["text"] for topic in answer["topics"])
        print(textwrap.fill(f"topics from {answer['topics'][0]['source']}: {topics}", 110, initial_indent="  ", subsequent_indent="    "))
    for place, item in enumerate(answer["items"], 1):
        authors = ", ".join(item["attributes"].get("authors", []))
        print(f"  {place}. {textwrap.shorten(item['title'], 60, placeholder='…')} by {textwrap.shorten(authors, 30, placeholder='…')}")
        print(f"       {_reasons(item)}")
    print("  milliseconds: " + ", ".join(f"{stage} {ms:.1f}" for stage, ms in answer["timings_ms"].items()))


def show_examples(api: Api) -> None:
    """Prints three worked recommendations: topics, reasons, rung and milliseconds per stage."""
    for title, request in EXAMPLES:
        # A first answer fills caches, and waits for the LLM where there is one; the one that is shown is a warm one.
        first = api.recommend({**request, "k": 5, "deadline_ms": 30_000, "expansion": "wait"})
        _show(title, api.recommend({**request, "k": 5, "deadline_ms": 10_000}), first["degraded"])


def run(folder: Path, *, once: bool, llm_url: str | None, llm_model: str | None) -> None:
    """Runs the demo with its state under `folder`; returns after the examples when `once`, else at Ctrl-C."""
    settings = {"EXPANDER_LLM_URL": llm_url or "", "EXPANDER_LLM_MODEL": llm_model or ""}
    started = time.monotonic()
    with Suite(folder.resolve(), settings) as suite:
        print("Starting " + ", ".join(f"{name} on port {suite.ports[name]}" for name in SERVICES) + " ...")
        suite.wait_ready()
        print(f"All four are ready after {time.monotonic() - started:.1f} s; logs in {folder / 'logs'}.")
        with Api(suite.gateway_url) as api:
            prepare(api, suite)
            show_examples(api)
        print(f"\nWeb page: {suite.gateway_url}/   API: {suite.gateway_url}/docs")
        if not once:
            print("Ctrl-C stops everything; the next start takes seconds.", flush=True)
            with contextlib.suppress(KeyboardInterrupt):
                signal.pause()
            print("\nStopped.")
