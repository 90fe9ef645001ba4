"""The options of `python -m pipelines plan`: one for every input. Knows no formula."""

import argparse
import json
from pathlib import Path

from pipelines.plan import report
from pipelines.plan.asked import asked
from pipelines.plan.costs import plan, what_ifs
from pipelines.plan.facts import FACTS
from pipelines.plan.profiles import PROFILES


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds them to the job's parser."""
    parser.add_argument("--model", default="llama-3.1-8b", help=f"one of {', '.join(FACTS['models'])}")
    parser.add_argument("--profile", default="trn1-sdk2.28", help="a runtime profile of the chart")
    parser.add_argument("--tensor-parallel-size", type=int, help="default: the profile's")
    parser.add_argument("--sequences", type=int, help="sequences at once per replica; default: the profile's")
    parser.add_argument("--max-model-len", type=int, help="tokens of prompt and answer; default: the profile's")
    parser.add_argument("--llm-latency-ms", type=float, help="one expansion, as you measured it; default: published or estimated")
    parser.add_argument("--price", type=_price, action="append", default=[], metavar="TYPE=USD", help="an on-demand price per hour")
    parser.add_argument("--profiles", type=Path, default=PROFILES, help="the chart's files/runtime-profiles.json")
    printed = parser.add_mutually_exclusive_group()
    printed.add_argument("--json", action="store_true", help="print JSON")
    printed.add_argument("--values", action="store_true", help="print values for the chart")
    for name, row in FACTS["inputs"].items():
        parser.add_argument("--" + name.replace("_", "-"), type=float, metavar="N", help=f"{row['unit']}; default {row['value']:g}")


def run(chosen: argparse.Namespace) -> None:
    """Prints the plan; raises `PlanRefused`."""
    given = {name: value for name in FACTS["inputs"] if (value := getattr(chosen, name)) is not None}
    question = asked(
        given,
        dict(chosen.price),
        model=chosen.model,
        profile=chosen.profile,
        tensor_parallel_size=chosen.tensor_parallel_size,
        sequences=chosen.sequences,
        max_model_len=chosen.max_model_len,
        llm_latency_ms=chosen.llm_latency_ms,
        profiles=chosen.profiles,
    )
    made = plan(question)
    if chosen.values:
        print(report.values(made), end="")
    elif chosen.json:
        print(json.dumps(report.document(made, what_ifs(question)), indent=2))
    else:
        print(report.text(made, what_ifs(question)), end="")


def _price(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not TYPE=USD, such as trn2.48xlarge=40") from error
