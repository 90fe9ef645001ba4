"""Writes the page of the expander's figures from what the parts measured. Knows the goals, not how anything is measured."""

from collections.abc import Callable, Mapping
from typing import Any

from tests.bench.retriever_report import Row, machine, table, verdict

Results = Mapping[str, Mapping[str, Any]]
CPU_MS, SHARE = 3.0, 0.05
GOAL_CALL_MS = 400.0
"""Shorter calls than an LLM's of our size are shown without a verdict: their share says more about them than about the service."""


def overhead_row(title: str, one: Mapping[str, Any]) -> Row:
    text = f"{one['cpu']:.1f} ms CPU; {one['added']:+.1f} ms at p50, {one['share']:.1%} of {one['direct']:,.0f} ms"
    good = one["cpu"] <= CPU_MS and one["share"] <= SHARE
    return title, "<= 3 ms, <= 5 %", text, good if one["direct"] >= GOAL_CALL_MS or good else None


def overhead_rows(found: Mapping[str, Any]) -> list[Row]:
    rows: list[Row] = []
    title = f"added to a direct call, {found['callers']} at once"
    if "failed" in found["vllm"]:
        rows.append((f"{title}, vLLM on the CPU", "<= 3 ms, <= 5 %", f"not measured: {found['vllm']['failed']}", None))
    else:
        one = found["vllm"]
        rows.append(overhead_row(f"{title}, vLLM on the CPU", one))
    for latency_s, shapes in found["fake"].items():
        rows.append(overhead_row(f"{title}, an LLM that takes {1_000 * float(latency_s):.0f} ms", shapes["spread"]))
    return rows


def cached_rows(found: Mapping[str, Any]) -> list[Row]:
    rows: list[Row] = []
    for name, title in (("sqlite", "kept in memory, SQLite behind"), ("redis", "kept in memory, Redis behind")):
        one = found[name]
        if "failed" in one:
            rows.append((f"{title}, one core", ">= 3,000/s", f"not measured: {one['failed']}", None))
            continue
        rows.append((f"{title}, one core", ">= 3,000/s", f"{one['per_s']:,.0f}/s ({one['cpu_us']:.0f} us CPU)", one["per_s"] >= 3_000))
        text = f"{one['share_p99']:.1f} ms (at 3,000/s {one['goal_p99']:.1f} ms)"
        rows.append((f"{title}, p99 at 80 % of that", "< 5 ms", text, max(one["share_p99"], one["goal_p99"]) < 5))
    if "redis each time" in found:
        one = found["redis each time"]
        rows.append(
            ("read from Redis each time, one core", "recorded", f"{one['per_s']:,.0f}/s, p99 {one['share_p99']:.1f} ms at 80 %", None)
        )
    return rows


def calls_rows(found: Mapping[str, Any]) -> list[Row]:
    rows: list[Row] = []
    for mode, heads in found["zipf"].items():
        last = max(heads, key=int)
        for head, one in sorted(heads.items(), key=lambda row: int(row[0])):
            share = one["calls"] / one["requests"]
            goal, most = ("<= 21 %", 0.21) if head == "0" else ("<= 2 %", 0.02) if head == last else ("recorded", None)
            title = "nothing kept" if head == "0" else f"the {int(head):,} most frequent of 2,000 kinds made ahead"
            text = f"{share:.2%} ({one['calls']:,} calls, {one['distinct']:,} kinds drawn, {one['from_llm']:.1%} by the LLM)"
            rows.append(
                (f"LLM calls of {one['requests']:,} requests, mode {mode}, {title}", goal, text, None if most is None else share <= most)
            )
    for one in found["together"]:
        calls, answered = one["calls"], one["answered_by_llm"]
        title = f"{one['callers']} callers of one new interest, {one['replicas']} expander{'s on one Redis' * (one['replicas'] > 1)}"
        text = f"{spread(calls)} ({sum(calls.values())} interests, {spread(answered)} answered by it)"
        rows.append((title, "1 call", text, set(map(int, calls)) == {1} and set(map(int, answered)) == {one["callers"]}))
    return rows


def spread(counted: Mapping[str, int]) -> str:
    """Such as "1", or "1 to 3"."""
    numbers = sorted(map(int, counted))
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"


def overload_rows(found: Mapping[str, Any]) -> list[Row]:
    rows: list[Row] = []
    for one in found["modes"]:
        counted = sum(one["substitutes_counted"].values())
        queue, llm = one["queue"], one["at_llm"]
        bounded = queue["most"] <= queue["may"] and llm["most"] <= llm["may"]
        title = f"3 times the LLM's capacity, mode {one['mode']}"
        late = f"{one['in_time']:.2%} of {one['requests']:,} (latest {one['latest_ms']:,.0f} ms)"
        rows.append(
            (f"{title}, answered within {found['deadline_ms']:,.0f} ms", "100 %", late, one["in_time"] == 1 and not one["other_statuses"])
        )
        text = f"{one['substitutes']:,} answers, {counted:,.0f} counted"
        rows.append((f"{title}, substitutes counted", "all", text, counted == one["substitutes"]))
        text = f"{queue['most']:.0f} of {queue['may']} waited, {llm['most']} of {llm['may']} were at the LLM"
        rows.append((f"{title}, the queue", "bounded", text, bounded))
        if one["mode"] == "wait":
            after = one["recovery_s"]
            text = "not within the run" if after is None else f"{after:.1f} s"
            rows.append((f"{title}, then half of it: over 95 % by the LLM after", "seconds", text, after is not None and after < 10))
    return rows


def soak_rows(found: Mapping[str, Any]) -> list[Row]:
    mib = {name: found[name] / 2**20 for name in ("risen", "held", "most_resident")}
    title = f"{found['seconds'] / 60:.1f} minutes of everything at once, {found['per_s']:.0f} requests/s"
    text = f"{mib['risen']:+.1f} MiB of {mib['held']:.0f} (at most {mib['most_resident']:.0f} resident)"
    left = ", ".join(
        f"{found['ended'][name]} {name} ({found['begun'][name]} at first, at most {found['most'][name]})" for name in found["ended"]
    )
    failed = [status for status in found["statuses"] if status[0] == "5"]
    return [
        (f"{title}: memory", "flat", text, found["flat"]),
        (f"{title}: left at the end", "nothing", left, found["nothing_left"] and not failed),
    ]


SECTIONS: dict[str, Callable[..., list[Row]]] = {
    "overhead": overhead_rows,
    "cached": cached_rows,
    "calls": calls_rows,
    "overload": overload_rows,
    "soak": soak_rows,
}


def goals(results: Results) -> list[Row]:
    """A row for each goal that was measured."""
    return [row for name, make in SECTIONS.items() if name in results for row in make(results[name])]


def overhead_table(found: Mapping[str, Any]) -> str:
    sides = {f"{1_000 * float(latency_s):.0f} ms, {shape}": one for latency_s, of in found["fake"].items() for shape, one in of.items()}
    sides |= {f"50 ms, {shape}, with an encoder": one for shape, one in found["encoder"].items()}
    if "failed" not in found["vllm"]:
        sides["vLLM on the CPU"] = found["vllm"]
    rows = [
        [
            name,
            f"{one['direct']:,.1f}",
            f"{one['through']:,.1f}",
            f"{one['added']:+.1f}",
            f"{one['own']:.1f}",
            f"{one['cpu']:.2f}",
            f"{one['calls']:.2f}",
        ]
        for name, one in sides.items()
    ]
    return table(
        "| LLM, callers | direct p50 ms | through the expander | added | mean ms beside the call | CPU ms a request | calls a request |",
        rows,
    )


def cached_table(found: Mapping[str, Any]) -> str:
    rows = [
        [
            name,
            f"{one['per_s']:,.0f}",
            f"{one['cpu_us']:.0f}",
            *(f"{one[of]:.1f}" for of in ("closed_p99", "share_p99", "goal_p99")),
            f"{one['starved']:.0%}",
            f"{one['client_share']:.0%}",
        ]
        for name, one in found.items()
        if isinstance(one, Mapping) and "per_s" in one
    ]
    head = (
        "| store | most/s | CPU us | p99 ms at the most, 16 connections | at 80 % | at 3,000/s | core taken by others | client, of a core |"
    )
    return table(head, rows)


def overload_table(found: Mapping[str, Any]) -> str:
    rows = [
        [
            one["mode"],
            f"{one['ms']['p50']:,.0f} / {one['ms']['p99']:,.0f}",
            f"{one['by_llm_under_pressure']:.0%}",
            f"{one['made_behind']:,}",
            ", ".join(f"{count:,.0f} {name}" for name, count in one["substitutes_counted"].items()),
        ]
        for one in found["modes"]
    ]
    return table("| mode | p50 / p99 ms | by the LLM under pressure | answers of the LLM in all | substitutes, by reason |", rows)


def soak_text(found: Mapping[str, Any]) -> str:
    counted = ", ".join(f"{count:,} {status}" for status, count in found["statuses"].items())
    made = ", ".join(f"{count:,} {name.replace(', ', ' ')}" for name, count in found["expansions"].items())
    return f"Answers by status: {counted}. Expansions by who proposed and how: {made}."


def page(results: Results, command: str, date: str) -> str:
    """Markdown; only parts that were measured are in it."""
    parts = [
        "# Performance of the expander",
        f"Measured on {date} on a {machine()} by `{command}`; medians over rounds, ratios of figures taken in turns in one run. "
        "This page is written by the benchmark; `tests/bench` has what it does.",
        table("| measure | goal | measured | |", [[name, goal, text, verdict(good)] for name, goal, text, good in goals(results)]),
    ]
    texts: dict[str, tuple[str, Callable[..., str]]] = {
        "overhead": ("## What the service adds\n\n" + OVERHEAD, overhead_table),
        "cached": ("## What is kept\n\n" + CACHED, cached_table),
        "calls": ("## Calls of the LLM\n\n" + CALLS, lambda _: ""),
        "overload": ("## Overload\n\n" + OVERLOAD, overload_table),
        "soak": ("## Soak\n\n" + SOAK, soak_text),
    }
    for name, (text, make) in texts.items():
        if name in results:
            parts += [text, make(results[name])]
    busy = {name: one["busy_before"] for name, one in results.items() if "busy_before" in one}
    beside = ", ".join(f"{share:.0%} before {name}" for name, share in busy.items())
    parts.append(f"## What ran beside it\n\nShare of the machine's cores that others took, in the second before each part: {beside}.")
    return "\n\n".join([part for part in parts if part] + [METHOD]) + "\n"


OVERHEAD = """Sixteen callers ask the LLM with the bodies that the expander sends, then sixteen others the expander (`mode: wait`), in
turns; no interest comes twice. `spread`: callers begin one after another, as people do; `at once`: all in one instant, again and again,
so that the sixteenth waits for the work on fifteen. CPU is that of the expander's process; the time
beside the call is the callers' mean less the expander's own of its calls. vLLM serves a Llama of random weights and
obeys the schema; it shares the cores with the expander and the callers. Of answers that take 50 ms the share is shown without a verdict."""
CACHED = """1,000 interests made ahead, asked for by Zipf's law with exponent 1, one a request; the expander on one core, the client on the
others. The most: 16 connections in a closed loop. The p99 at 80 % of the most and at 3,000/s: at random instants (a Poisson process), from
the instant a request was due. `redis each time`: a memory of one entry, so that each answer is read from Redis."""
CALLS = """As the LLM counts them, without the canary at start. 2,000 kinds by Zipf's law with exponent 1, of which each request spells its
own in one of five ways (case, white space). The head is made by `POST /v1/expansions:precompute`; its calls are made ahead of traffic and
not counted. Callers at once: each on a connection of its own, in mode `wait`; every round has a new interest."""
OVERLOAD = """An LLM that works on 8 at once for 250 ms each (32 a second); 96 new interests a second at random instants, then 16. The
expander may have 16 at the LLM and 64 in its queue. An answer is in time by the caller's clock, from the instant the request was due. In
mode `async` every new interest is answered by the catalogue at once. Recovery: from then on more than 95 % of the rest, and of the next
second, came from the LLM."""
SOAK = """200 requests a second at random instants: kept and new interests in all modes, histories of up to 200 items, unusable and wrapped
answers of the LLM, batches, erasures, unfit bodies, deadlines of 30 ms; beside them callers that leave in the midst, and an LLM that is
killed and comes back. Flat: a line through the last seven tenths of the samples rises by at most a fiftieth or 8 MiB. Nothing left:
tasks of the event loop, open files and threads are what they were before the load, but for connections and threads that are kept."""
METHOD = """## How
- The client keeps its connections, renders requests beforehand and tells its share of a core.
- The fake LLM (`tests/bench/expander_llm.py`) is a process of its own that answers canned topics and costs some 30 us a call.
- Rerun one part with `python -m tests.bench.expander_all --only PART`; the page then tells the latest figures of each."""
