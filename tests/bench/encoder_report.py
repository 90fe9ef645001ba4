"""Writes the page of the encoder's figures from what the parts measured. Knows the goals, not how anything is measured."""

from collections.abc import Callable, Mapping
from typing import Any

from tests.bench.retriever_report import Row, machine, table, verdict

Results = Mapping[str, Mapping[str, Any]]


def serving_rows(found: Mapping[str, Any]) -> list[Row]:
    """HTTP against the loop, for both shapes of request."""
    rows: list[Row] = []
    for name, one in found["models"].items():
        for shape in ("single", "of 8"):
            of = one["medians"]
            ratio = of[f"ratio {shape}"]
            text = f"{ratio:.2f} ({of[f'http {shape}']:,.1f} / {of['raw']:,.1f} texts/s)"
            rows.append(
                (f"HTTP with {found['clients']} clients against the best loop, {name}, {asked(shape)}", ">= .90", text, ratio >= 0.9)
            )
    return rows


def asked(shape: str) -> str:
    return "one text a request" if shape == "single" else "8 texts a request"


def peer_rows(found: Mapping[str, Any]) -> list[Row]:
    rows: list[Row] = []
    for peer, goal in (("infinity", 2.0), ("sentence-transformers", 3.0)):
        title, one = f"MiniLM over HTTP against {peer}", found[peer]
        if "failed" in one:
            rows.append((title, f">= {goal:.0f}x", f"not measured: {one['failed']}", None))
            continue
        for model, compared in one["models"].items():
            for shape in ("single", "of 8"):
                at = compared[shape]
                text = f"{at['ratio']:.1f} ({at['ours']:,.0f} / {at['theirs']:,.0f} texts/s)"
                rows.append((f"{title}, {model}, {asked(shape)}", f">= {goal:.0f}x", text, at["ratio"] >= goal))
    return rows


def int8_rows(found: Mapping[str, Any]) -> list[Row]:
    torch, model = found["torch"], found["model"]
    title = f"{model} against torch fp32, 1 text of 32 tokens, 1 thread each"
    if "failed" in torch:
        rows: list[Row] = [(title, ">= 4x", f"not measured: {torch['failed']}", None)]
    else:
        text = f"{torch['ratio']:.1f} ({torch['ours_ms']:.1f} / {torch['torch_ms']['1']:.1f} ms)"
        rows = [(title, ">= 4x", text, torch["ratio"] >= 4)]
    for threads, one in found["threads"].items():
        most = one["most"]
        text = f"{one['share']:.2f} ({most['gflops']:,.0f} at {most['texts']} x {most['tokens']} / {one['peak']:,.0f} GFLOP/s)"
        title = f"{model}, achieved GFLOP/s against the measured int8 peak, {threads} thread{'s' * (threads != '1')}"
        rows.append((title, ">= .6", text, one["share"] >= 0.6))
    return rows


def latency_rows(found: Mapping[str, Any]) -> list[Row]:
    rows: list[Row] = []
    for name, one in found.items():
        middle = nearest(one["rounds"], lambda part: part["served_ms"]["p99"] / part["served_ms"]["p50"])
        served = middle["served_ms"]
        text = f"{one['ratio']:.1f} (p50 {served['p50']:.1f}, p99 {served['p99']:.1f} ms, {middle['served_per_s']:,.0f} texts/s)"
        rows.append((f"p99 against p50 at 70 % load, {name}", "<= 4x", text, one["ratio"] <= 4 and not middle["refused_share"]))
    return rows


def nearest(rounds: list[dict[str, Any]], key: Callable[[dict[str, Any]], float]) -> dict[str, Any]:
    """The round in the middle."""
    return sorted(rounds, key=key)[len(rounds) // 2]


def distilled_rows(found: Mapping[str, Any]) -> list[Row]:
    """The small T5 in int8 against MiniLM as it is by default, and against MiniLM in int8, for which no goal is set."""
    rows: list[Row] = []
    for kind, of in found.items():
        for other in ("minilm fp32", "minilm int8"):
            if not {"t5-mini int8", other} <= of.keys():
                continue
            ours, theirs = of["t5-mini int8"], of[other]
            ratio = theirs["p50"] / ours["p50"]
            text = f"{ratio:.1f} ({ours['p50']:.2f} / {theirs['p50']:.2f} ms, {ours['tokens']:.0f} tokens)"
            goal, good = (">= 2x", ratio >= 2) if other == "minilm fp32" else ("recorded", None)
            rows.append((f"t5-mini int8 against {other}, one of the {kind} at a time, 1 thread", goal, text, good))
    return rows


def length_rows(found: Mapping[str, Any]) -> list[Row]:
    rows: list[Row] = []
    for name, mixes in found.items():
        for mix, one in mixes.items():
            title = f"lengths of 8 to 128 tokens, {mix} (mean {one['mean_tokens']:.0f}), against one padded batch, {name}"
            text = f"{one['ratio']:.1f} ({one['ladder_ms']:,.0f} / {one['padded_ms']:,.0f} ms)"
            rows.append((title, ">= 2x", text, one["ratio"] >= 2))
    return rows


def start_rows(found: Mapping[str, Any]) -> list[Row]:
    return [
        (
            f"start until ready, {name}",
            "< 3 s",
            f"{one['warm_s']:.1f} s (files not in the page cache: {one['cold_s']:.1f} s)",
            one["cold_s"] < 3,
        )
        for name, one in found.items()
    ]


def overload_rows(found: Mapping[str, Any]) -> list[Row]:
    middle = nearest(found["rounds"], lambda part: float(part["3.0"]["served_ms"]["p99"]))["3.0"]
    text = (
        f"{found['p99_ratio']:.2f} (p99 {middle['served_ms']['p99']:.0f} ms, {middle['refused_share']:.0%} answered 429, "
        f"{middle['without_retry_after']} without Retry-After)"
    )
    good = found["p99_ratio"] <= 2 and not middle["without_retry_after"] and not middle["other_statuses"]
    return [("p99 of the served at 3 times the capacity, against at capacity", "<= 2", text, good)]


def soak_rows(found: Mapping[str, Any]) -> list[Row]:
    mib = {name: found[name] / 2**20 for name in ("risen", "held", "most_resident")}
    asked_in_all = sum(found["statuses"].values())
    text = f"{mib['risen']:+.1f} MiB of {mib['held']:.0f} (at most {mib['most_resident']:.0f} resident), {asked_in_all:,} requests"
    return [(f"memory over {found['seconds'] / 60:.1f} minutes of everything at once", "flat", text, found["flat"] and found["alive"])]


def gpu_rows(found: Mapping[str, Any]) -> list[Row]:
    rows: list[Row] = []
    for name, runs in found["shapes"].items():
        most = max(runs, key=lambda run: run["tokens_per_s"])
        text = f"{most['tokens_per_s']:,.0f} tokens/s, {most['share']:.2f} of the card's matrix rate ({most['texts']} x {most['tokens']})"
        rows.append((f"{name}, bf16, {found['card']['name']}", "recorded", text, None))
    return rows


SECTIONS: dict[str, Callable[..., list[Row]]] = {
    "serving": serving_rows,
    "peers": peer_rows,
    "int8": int8_rows,
    "latency": latency_rows,
    "distilled": distilled_rows,
    "lengths": length_rows,
    "start": start_rows,
    "overload": overload_rows,
    "soak": soak_rows,
    "gpu": gpu_rows,
}


def goals(results: Results) -> list[Row]:
    """A row for each goal that was measured."""
    return [row for name, make in SECTIONS.items() if name in results for row in make(results[name])]


def models_table(found: Mapping[str, Any]) -> str:
    rows = []
    for name, one in found["models"].items():
        if told := one["report"]:
            near = [f"{told[of]:.4f}" if of in told else "" for of in ("mean_cosine", "overlap", "int8_share_of_linear_weights")]
            rows.append([name, told["fingerprint"], *near, f"{sum(told['bytes'].values()) / 1e6:,.0f}"])
    return table("| model | fingerprint | mean cosine to fp32 | top-10 overlap | int8, of the linear weights | MB |", rows)


def serving_table(found: Mapping[str, Any]) -> str:
    rows = []
    for name, one in found["models"].items():
        of, tokens = one["medians"], one["tokens"]
        for shape in ("single", "of 8"):
            lengths = f"{tokens['mean']:.0f} ({tokens['p10']:.0f}-{tokens['p90']:.0f})"
            loop = f"{of['raw']:,.1f} (runs of {one['size']}, {one['threads']} threads)"
            costs = [f"{of[f'http {shape}']:,.1f}", f"{of[f'cpu ms {shape}']:.2f}", f"{of[f'client {shape}']:.0%}", f"{one['cosine']:.4f}"]
            rows.append([f"{name}, {asked(shape)}", lengths, loop, *costs])
    head = "| model | tokens, mean (p10-p90) | loop texts/s | HTTP texts/s | CPU ms a text, server | client, of a core | least cosine |"
    return table(head, rows)


def peers_table(found: Mapping[str, Any]) -> str:
    rows = []
    for peer in ("infinity", "sentence-transformers"):
        one = found[peer]
        for model, compared in one.get("models", {}).items():
            setting = f"batches of {one['batch']}" + (f", {one['threads']} threads" if "threads" in one else "")
            rates = [f"{compared[shape]['ours']:,.0f} / {compared[shape]['theirs']:,.0f}" for shape in ("single", "of 8")]
            rows.append([f"{peer} {one['version']}", setting, model, *rates, f"{compared['cosine']:.4f}"])
    return table("| peer | its best setting | ours | texts/s, ours / theirs, one text a request | 8 texts | least cosine |", rows)


def int8_table(found: Mapping[str, Any]) -> str:
    peaks = {int(threads): one for threads, one in found["threads"].items()}
    rows = [
        [
            f"{run['texts']} x {run['tokens']}",
            str(run["threads"]),
            f"{run['ms']:.1f}",
            f"{run['gflops']:,.0f}",
            f"{run['gflops'] / peaks[run['threads']]['peak']:.2f}",
        ]
        for run in found["runs"]
    ]
    made = table("| texts x tokens | threads | ms a run | GFLOP/s | of the peak |", rows)
    names = [name for name in found["products"][0] if name not in ("shape", "threads")]
    shapes = [
        [" x ".join(map(str, row["shape"])), str(row["threads"]), *(f"{row[name]:,.0f}" if name in row else "" for name in names)]
        for row in found["products"]
    ]
    return f"{made}\n\n{table('| rows x inner x columns | threads | ' + ' | '.join(names) + ' |', shapes)}"


def latency_table(found: Mapping[str, Any]) -> str:
    rows = [
        [
            name,
            f"{part['capacity_per_s']:,.1f}",
            f"{part['served_per_s']:,.1f}",
            f"{part['served_ms']['p50']:.1f}",
            f"{part['served_ms']['p99']:.1f}",
            f"{part['client_share']:.0%}",
        ]
        for name, one in found.items()
        for part in one["rounds"]
    ]
    return table("| model | capacity/s | served/s | p50 ms | p99 ms | client, of a core |", rows)


def distilled_table(found: Mapping[str, Any]) -> str:
    rows = [
        [name, kind, f"{one['tokens']:.1f}", f"{one['p50']:.2f}", f"{one['p99']:.2f}"]
        for kind, models in found.items()
        for name, one in models.items()
    ]
    return table("| model | texts | tokens, mean | p50 ms | p99 ms |", rows)


def start_table(found: Mapping[str, Any]) -> str:
    rows = [
        [name, *(f"{one[of]:.2f}" for of in ("first_s", "warm_s", "cold_s")), f"{one['memory']['resident'] / 2**20:,.0f}"]
        for name, one in found.items()
    ]
    return table("| model | first start s | later, warm | later, files not in the page cache | resident MiB when ready |", rows)


def soak_text(found: Mapping[str, Any]) -> str:
    counted = ", ".join(f"{count:,} {name}" for name, count in found["statuses"].items())
    first, last = (found[name] / 2**20 for name in ("first", "last"))
    return f"Answers: {counted}. Memory not backed by files: {first:.0f} MiB when ready, {last:.0f} MiB at the end ({found['model']})."


def gpu_table(found: Mapping[str, Any]) -> str:
    rows = [
        [
            name,
            f"{run['texts']} x {run['tokens']}",
            f"{run['ms']:.2f}",
            f"{run['tokens_per_s']:,.0f}",
            f"{run['tflops']:.0f}",
            f"{run['share']:.2f}",
        ]
        for name, runs in found["shapes"].items()
        for run in runs
    ]
    card = found["card"]
    told = f"{card['name']}, torch {card['torch']}: a square bf16 product of 8,192 reaches {found['matrix_tflops']:.0f} TFLOP/s."
    return f"{told}\n\n{table('| encoder | texts x tokens | ms | tokens/s | TFLOP/s | of the matrix rate |', rows)}"


def page(results: Results, command: str, date: str) -> str:
    """Markdown; only parts that were measured are in it."""
    parts = [
        "# Performance of the encoder",
        f"Measured on {date} on a {machine()} by `{command}`; medians over rounds, ratios of figures taken in turns in one run. "
        "This page is written by the benchmark; `tests/bench` has what it does.",
        table("| measure | goal | measured | |", [[name, goal, text, verdict(good)] for name, goal, text, good in goals(results)]),
    ]
    texts: dict[str, tuple[str, Callable[..., str]]] = {
        "models": ("## Prepared models\n\n" + MODELS, models_table),
        "serving": ("## Serving\n\n" + SERVING, serving_table),
        "peers": ("## Other encoders\n\n" + PEERS, peers_table),
        "int8": ("## int8\n\n" + INT8, int8_table),
        "latency": ("## Latency\n\n" + LATENCY, latency_table),
        "distilled": ("## The small T5\n\n" + DISTILLED, distilled_table),
        "start": ("## Start\n\n" + START, start_table),
        "soak": ("## Soak\n\n" + SOAK, soak_text),
        "gpu": ("## On a GPU\n\n" + GPU, gpu_table),
    }
    for name, (text, make) in texts.items():
        if name in results:
            parts += [text, make(results[name])]
    if skipped := results.get("models", {}).get("failed"):
        parts.append("Not measured: " + "; ".join(f"{name} ({reason})" for name, reason in skipped.items()) + ".")
    return "\n\n".join([*parts, METHOD]) + "\n"


MODELS = """By `encoder prepare`. A T5 with random weights is prepared without the gate and wholly in int8: how near it comes says
nothing of real models, of which the gate may keep layers in fp32."""
SERVING = """Passages of the sample's books, as the gateway embeds them, each once: remembering recent ones gains nothing. The loop has
all texts from the start, sorts them, and uses the size of runs and the number of threads that were fastest; tokenisation is counted on
both sides. The client runs on the same cores and is counted against HTTP. The cosine is the least between what is served and the
loop's."""
PEERS = """The same MiniLM from the same files: ours as served, theirs in fp32 by PyTorch, in an environment of its own, with the batch
size and threads that were fastest of those tried. Infinity is asked over HTTP by the same client at the same time of day;
sentence-transformers is called in its process with all texts at once, ours over HTTP all the same."""
INT8 = """Random weights. Operations are those of the linear layers, the part that is int8; attention, norms and the quantisation of
what comes in are not counted but take their time. The peak is the best of int8 matrix products of several shapes, by ONNX Runtime's
MatMulInteger and torch's `_int_mm`; with two threads either two at once or one over both."""
LATENCY = """Single texts at random instants (a Poisson process), at 70 % of what 16 clients in a closed loop were answered just before.
A latency counts from the instant a request was due."""
DISTILLED = """What the project distilled from MiniLM (`models/warmstart-t5-mini`, whose card tells how good it is), tokenising and one run,
without HTTP. Each text is given to every model in turn; the passages are those of the other parts, the queries a genre and an author."""
START = """From the start of the process until `/readyz` answers 200, which needs a passage embedded and compared. The first start of a
model that was not prepared builds its graph."""
SOAK = """Eight callers: single texts and batches, both priorities, JSON and bytes, a million characters, broken bodies, deadlines that
pass, callers that leave in the midst. Flat: a line through the last seven tenths of the samples rises by at most a fiftieth or 8
MiB."""
GPU = """The module that the torch backend runs, with random weights; from token ids in the host's memory to embeddings there.
Operations are those of linear layers and attention."""
METHOD = """## How
- Closed loop: each client asks again once it is answered, over connections that are kept; the client is one thread and tells its share
  of a core.
- T5-base has random weights, which its speed does not depend on; how accurate int8 is, `encoder prepare` tells of real ones.
- Rerun one part with `python -m tests.bench.encoder_all --only PART`; the page then tells the latest figures of each."""
