"""Writes the page of figures from what the parts measured. Knows the goals, not how anything is measured."""

import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.bench.retriever_filters import title, worst
from tests.bench.retriever_timing import GOAL

Results = Mapping[str, Mapping[str, Any]]
Row = tuple[str, str, str, bool | None]
"""Measure, goal, measured, and whether it is reached; None when it could not be measured."""
TEN_SECONDS = 10.0
FLAT = 0.2
"""Of the vectors, that the service may grow by while they are imported: attributes and the vectors that wait for a segment."""


def machine() -> str:
    """The class of this machine, such as "2-core x86-64 VM, AVX-512"."""
    about = Path("/proc/cpuinfo").read_text()
    cores, virtual = about.count("processor\t"), " VM" if "hypervisor" in about else ""
    vectors = ", AVX-512" if "avx512f" in about else ", AVX2" if "avx2" in about else ""
    return f"{cores}-core {platform.machine().replace('_', '-')}{virtual}{vectors}"


def millions(rows: int) -> str:
    return f"{rows // 1_000_000}M" if rows % 1_000_000 == 0 else f"{rows // 1_000}k"


def search_rows(found: Mapping[str, Any]) -> list[Row]:
    """HTTP against FAISS."""
    rows: list[Row] = []
    for threads, one in found["threads"].items():
        for shape, goal in (("batched", 0.8), ("single", 0.5)):
            ratio, http, raw = (one[f"{kind}_{shape}"] for kind in ("ratio", "http", "raw"))
            text = f"{ratio:.2f} ({http:,.0f} / {raw:,.0f} a second, recall {one['recall']:.3f} / {one['raw_recall']:.3f})"
            name = f"HTTP queries/s against raw FAISS HNSW, {millions(found['rows'])}, {shape}, {threads} thread{'s' * (threads != '1')}"
            rows.append((name, f">= {goal:.2f}", text, ratio >= goal))
    return rows


def peer_ratios(peers: Mapping[str, Any], growth: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """For each peer that reached the recall, ours / theirs at the size that it was measured at, with the faster of one and two clients."""
    ours = {row["rows"]: row for row in growth["sizes"]}
    measured = {name: one for name, one in peers.items() if one.get("recall", 0) >= GOAL and one["rows"] in ours}
    return {
        name: {shape: ours[one["rows"]][shape] / max(one[f"{shape}_1"], one[f"{shape}_2"]) for shape in ("single", "batched")}
        for name, one in measured.items()
    }


def peer_rows(peers: Mapping[str, Any], growth: Mapping[str, Any]) -> list[Row]:
    """The hardest peer in each shape."""
    ratios = peer_ratios(peers, growth)
    if not ratios:
        return [("HTTP queries/s against other stores", ">= 3", "none could be measured", None)]
    rows: list[Row] = []
    for shape in ("single", "batched"):
        name = min(ratios, key=lambda peer: ratios[peer][shape])
        ratio, size = ratios[name][shape], millions(peers[name]["rows"])
        rows.append((f"HTTP queries/s against the best other store, {shape}", ">= 3", f"{ratio:.1f} ({name}, {size})", ratio >= 3))
    return rows


def filter_rows(found: Mapping[str, Any]) -> list[Row]:
    recall, ratio = worst(found["needed"]["cells"])
    default_recall, default_ratio = worst(found["default"]["cells"])
    plain = found["default"]["unfiltered"]["recall"]
    return [
        ("recall@10 under filters, worst of 12 cells", ">= .98", f"{recall:.3f}", recall >= 0.98),
        ("p99 under filters against unfiltered, worst of 12 cells", "<= 5", f"{ratio:.1f}", ratio <= 5),
        (
            "the same by the default effort",
            "-",
            f"recall {default_recall:.3f} (unfiltered {plain:.3f}), p99 {default_ratio:.1f} times",
            None,
        ),
    ]


def write_rows(found: Mapping[str, Any]) -> list[Row]:
    seen, ratio, accepted = found["visible"], found["p99_ratio"], found["accepted_per_s"]
    p99, later, builds = seen["p99"], seen["not_at_first_search"], found["builds"]
    text = f"{ratio:.2f} ({found['busy_p99_ms']:.1f} / {found['idle_p99_ms']:.1f} ms, {accepted:,.0f} upserts/s taken, {builds:.0f} builds)"
    return [
        (
            "one upsert visible to search, p99",
            "< 50 ms",
            f"{p99:.1f} ms (p50 {seen['p50']:.1f}; {later} of {seen['writes']} not at the first search)",
            p99 < 50 and not later,
        ),
        ("search p99 under 2,000 upserts/s and merges, against idle", "<= 2", text, ratio <= 2 and accepted >= 1_900),
    ]


def import_rows(found: Mapping[str, Any]) -> list[Row]:
    speed, (service, builder) = found["items_per_s"], (found[name] / 2**20 for name in ("peak_service", "peak_builder"))
    text = f"{speed:,.0f} (first fifth {found['pace_first_fifth']:,.0f}, last fifth {found['pace_last_fifth']:,.0f})"
    grown = (
        f"service + {found['grown_of_vectors']:.0%} of the vectors, to {service:,.0f} MiB not backed by files; builder {builder:,.0f} MiB"
    )
    return [
        (f"bulk import over HTTP, items/s, {millions(found['rows'])}", ">= 20,000", text, speed >= 20_000),
        ("memory while importing", "flat", grown, found["grown_of_vectors"] <= FLAT),
    ]


def memory_rows(found: Mapping[str, Any]) -> list[Row]:
    resident, size = found["resident"], millions(found["rows"])
    total = (resident["service"] + resident["children"]) / 2**20
    return [
        (f"resident memory over the vectors, {size}, hnsw", "<= 1.3", f"{found['ratio']:.2f} ({total:,.0f} MiB)", found["ratio"] <= 1.3),
        (
            f"start until ready, {size}",
            "< 10 s",
            f"{found['ready_warm_s']:.1f} s (files not in the page cache: {found['ready_cold_s']:.1f} s)",
            found["ready_cold_s"] < TEN_SECONDS,
        ),
    ]


def growth_rows(found: Mapping[str, Any]) -> list[Row]:
    first, last, b = found["sizes"][0], found["sizes"][-1], found["exponent_http"]
    text = f"rows^{b:.2f} over HTTP, rows^{found['exponent_raw']:.2f} in FAISS"
    return [(f"growth of query time, {millions(first['rows'])} to {millions(last['rows'])}", "< 1", text, b < 1)]


def overload_rows(found: Mapping[str, Any]) -> list[Row]:
    middle = sorted(found["rounds"], key=lambda one: one["3"]["served_ms"]["p99"])[len(found["rounds"]) // 2]["3"]
    silent, other = middle["without_retry_after"], middle["other_statuses"]
    text = (
        f"{found['p99_ratio']:.2f} (p99 {middle['served_ms']['p99']:.0f} ms, {middle['refused_share']:.0%} answered 429, {silent} without"
    )
    good = found["p99_ratio"] <= 2 and not silent and not other
    return [("p99 of the served at 3 times the capacity, against at capacity", "<= 2", f"{text} Retry-After)", good)]


SECTIONS: dict[str, Callable[..., list[Row]]] = {
    "search": search_rows,
    "filters": filter_rows,
    "writes": write_rows,
    "import": import_rows,
    "memory": memory_rows,
    "growth": growth_rows,
    "overload": overload_rows,
}


def goals(results: Results) -> list[Row]:
    """A row for each goal that was measured."""
    rows = [row for name, make in SECTIONS.items() if name in results for row in make(results[name])]
    if "peers" in results and "growth" in results:
        rows += peer_rows(results["peers"], results["growth"])
    return rows


def table(head: str, rows: list[list[str]]) -> str:
    return "\n".join([head, "|".join(["", *["---"] * (head.count("|") - 1), ""]), *("| " + " | ".join(row) + " |" for row in rows)])


def verdict(reached: bool | None) -> str:
    return "" if reached is None else "reached" if reached else "**missed**"


def search_table(found: Mapping[str, Any]) -> str:
    rows = [
        [
            f"{shape}, {threads}",
            f"{found['raw_effort']} / {one['effort']}",
            f"{one[f'raw_{shape}']:,.0f}",
            f"{one[f'http_{shape}']:,.0f}",
            f"{one['raw_cpu_ms']:.2f}",
            f"{one[f'cpu_ms_{shape}']:.2f}",
            f"{one[f'client_share_{shape}']:.0%}",
        ]
        for threads, one in found["threads"].items()
        for shape in ("batched", "single")
    ]
    head = "| queries, threads | effort, FAISS / HTTP | FAISS/s | HTTP/s | CPU ms a query, FAISS | the same, server | client, of a core |"
    return table(head, rows)


def filters_table(found: Mapping[str, Any]) -> str:
    rows = [["none", *cells(found, "unfiltered", None)]]
    rows += [[title(shelf), *cells(found, "cells", shelf)] for shelf in found["needed"]["cells"]]
    efforts = f"effort {found['effort']}"
    head = f"| allowed | recall, {efforts} | p50 / p99 ms | p99 against none | plans | recall, default effort | p50 / p99 ms |"
    return table(head, rows)


def cells(found: Mapping[str, Any], group: str, shelf: str | None) -> list[str]:
    one, default = ((found[name][group] if shelf is None else found[name][group][shelf]) for name in ("needed", "default"))
    plan = ", ".join(sorted(one.get("plans", {}))) or "graph"
    times = [f"{each['p50']:.1f} / {each['p99']:.1f}" for each in (one, default)]
    return [f"{one['recall']:.4f}", times[0], f"{one.get('p99_ratio', 1):.1f}", plan, f"{default['recall']:.4f}", times[1]]


def growth_table(found: Mapping[str, Any]) -> str:
    rows = [
        [
            f"{one['rows']:,}",
            f"{one['effort']}",
            f"{one['recall']:.3f}",
            f"{one['p50_ms']:.2f}",
            f"{one['raw_ms']:.2f}",
            f"{one['single']:,.0f}",
            f"{one['batched']:,.0f}",
        ]
        for one in found["sizes"]
    ]
    return table("| items | effort | recall@10 | p50 ms over HTTP, one caller | ms in FAISS | single/s | batched/s |", rows)


def kinds_table(found: Mapping[str, Any]) -> str:
    n = found["rows"]
    rows = [
        [
            kind,
            f"{one['vectors_at_precision'] / n:,.0f}",
            f"{one['resident'] / 2**20:,.0f}",
            f"{one['anonymous'] / 2**20:,.0f}",
            f"{(one['resident'] - one['empty']) / one['vectors_at_precision']:.2f}",
            f"{one['build_s']:.0f}",
            f"{one['default_recall']:.3f} at {one['default_per_s']:,.0f}",
            f"{one['effort']}",
            f"{one['recall']:.3f} at {one['per_s']:,.0f}",
        ]
        for kind, one in found["kinds"].items()
    ]
    head = (
        "| kind | bytes a vector | resident MiB | of it anonymous | beyond an empty service / vectors | build s "
        "| recall at queries/s, default | effort for .98 | recall at queries/s |"
    )
    return table(head, rows)


def peers_table(peers: Mapping[str, Any], growth: Mapping[str, Any]) -> str:
    ratios, rows = peer_ratios(peers, growth), []
    for name, one in peers.items():
        if "effort" not in one:
            rows.append([name, "", f"not measured: {one.get('skipped', one.get('failed'))}", "", "", "", ""])
            continue
        speeds = [f"{one[f'{shape}_1']:,.0f} / {one[f'{shape}_2']:,.0f}" for shape in ("single", "batched")]
        ours = " / ".join(f"{ratios[name][shape]:.1f}" for shape in ("single", "batched")) if name in ratios else ""
        setting = f"{one['setting']}, effort {one['effort']}"
        recall = f"{one['recall']:.3f}" + ("" if one["recall"] >= GOAL else " (missed)")
        rows.append([f"{name} {one['version']}", f"{one['rows']:,}", setting, recall, *speeds, ours])
    return table("| store | items | setting | recall@10 | single/s, 1 / 2 clients | batched/s, 1 / 2 | ours / theirs |", rows)


def dataset_text(found: Mapping[str, Any]) -> str:
    rows = [
        [one["name"], f"{one['rows']:,}", f"{one['first']:.3f}", f"{one['tenth']:.3f}", f"{one['intrinsic_dimension']:.1f}"]
        for one in found["likeness"]
    ]
    return table("| vectors | rows | similarity of the nearest | of the 10th | local intrinsic dimension |", rows)


def page(results: Results, command: str, date: str) -> str:
    """Markdown; only parts that were measured are in it."""
    parts = [
        "# Performance of the retriever",
        f"Measured on {date} on a {machine()} by `{command}`; medians over rounds, ratios of figures taken in turns in one run. "
        "This page is written by the benchmark; `tests/bench` has what it does.",
        table("| measure | goal | measured | |", [[name, goal, text, verdict(good)] for name, goal, text, good in goals(results)]),
    ]
    texts: dict[str, tuple[str, Callable[[], str]]] = {
        "dataset": ("## The vectors\n\n" + DATASET, lambda: dataset_text(results["dataset"])),
        "search": ("## HTTP against FAISS\n\n" + SEARCH, lambda: search_table(results["search"])),
        "filters": ("## Filters\n\n" + FILTERS, lambda: filters_table(results["filters"])),
        "growth": ("## Growth\n\n" + GROWTH, lambda: growth_table(results["growth"])),
        "kinds": ("## Kinds of index\n\n" + KINDS, lambda: kinds_table(results["kinds"])),
        "peers": ("## Other stores\n\n" + PEERS, lambda: peers_table(results["peers"], results.get("growth", {"sizes": []}))),
    }
    for name, (text, make) in texts.items():
        if name in results:
            parts += [text, make()]
    return "\n\n".join([*parts, METHOD]) + "\n"


DATASET = """Drawn, with fixed seeds, to look like sentence embeddings: between real ones (MiniLM, three passages about each book of
the sample) and neighbours of theirs, with noise of the covariance that real neighbours have. 2,000 queries are drawn alike and are not
among the vectors; 500 pick the effort, 1,500 are reported. Exact answers come from comparing with every vector."""
SEARCH = """FAISS is `IndexHNSWFlat` in one process, with the same links and breadth; its effort is picked in the same way. A batch is
64 queries in a call. Processor time is that of all threads of the service: what is beyond FAISS's own is HTTP, JSON, threads."""
FILTERS = """One caller, one query after the other; the effort is the one that a search without a filter needs for .98. Correlated
filters allow the items nearest to one direction, or whole clusters of a k-means; most queries lie far from what is allowed."""
GROWTH = """Each size with the effort that it needs for .98; two search threads, four connections for the queries a second. The effort
does not rise steadily, in FAISS or over HTTP: the more vectors are drawn, the more of them lie round the same real ones."""
KINDS = """Resident memory after a restart and some 22,000 searches all over; pages of mapped files count when they were touched, but the
system may take them back: what it can not take back is anonymous. One search thread, two connections."""
PEERS = """Each in an environment of its own, over the same vectors, tuned on the same dev queries to the same recall, called from one
client thread and from two; embedded ones cross no network, PostgreSQL a local socket. Each is loaded
before and kept, which is not compared; the size is the largest whose load ended in time. Ours is asked over HTTP at the same size, from
four connections."""
METHOD = """## How
- Queries a second: closed loop over connections that are kept; the client is one thread and tells its own share of a core
  (`client_share` in the results), which on two cores the server does not get. FAISS is called from as many threads as search in the server.
- Latency under writes and overload: open loop, requests due at random instants, counted from when they were due.
- The effort of each side is the least that gives .98 on the dev queries, raised where the reported ones need more."""
