"""The offline jobs from the command line: `python -m pipelines JOB`. Knows the arguments, not the jobs."""

import argparse
import sys
from pathlib import Path

from pipelines import bootstrap, check, demo, jobs, move_catalogue
from pipelines.api import Api, ApiRefused
from pipelines.bootstrap import SourceMissing
from pipelines.check import CheckFailed
from pipelines.distil import command as distil
from pipelines.embed import command as embed
from pipelines.embed.faults import EmbedFailed
from pipelines.ending import ended_by_signals
from pipelines.enrich import command as enrich
from pipelines.enrich.faults import EnrichFailed
from pipelines.evaluate import chosen as measured
from pipelines.evaluate import run as evaluate
from pipelines.evaluate.chosen import EvaluateRefused
from pipelines.importer import ImportIncomplete
from pipelines.move_catalogue import MoveIncomplete, Retriever, RetrieverRefused
from pipelines.plan import command as plan
from pipelines.plan.facts import PlanRefused
from pipelines.precompute import command as precompute
from pipelines.precompute.command import PrecomputeIncomplete
from pipelines.precompute.head import HeadUnusable
from pipelines.precompute.job import PrecomputeRefused
from pipelines.readiness import NotReady
from pipelines.suite import SuiteFailed
from pipelines.sweep import command as sweep
from pipelines.sweep.faults import SweepFailed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipelines", description="Offline jobs of Warmstart.")
    commands = parser.add_subparsers(dest="job", required=True)
    show = commands.add_parser("demo", help="start everything, import the sample, show recommendations")
    show.add_argument("--state", type=Path, default=Path(".warmstart"), help="folder for state and logs")
    show.add_argument("--once", action="store_true", help="exit after the examples")
    show.add_argument("--llm-url", help="an OpenAI-compatible endpoint, such as http://127.0.0.1:8000/v1")
    show.add_argument("--llm-model", help="the model's name at that endpoint")
    refresh = commands.add_parser("refresh", help="recompute topics, popularity and collaborative neighbours from what the gateway holds")
    first = commands.add_parser("bootstrap", help="fill an empty catalogue; one that holds items is left alone")
    first.add_argument("--source", default=bootstrap.SAMPLE, help="`sample`, or a folder with items.ndjson and events.ndjson (or .gz)")
    first.add_argument("--force", action="store_true", help="import also into a catalogue that holds items")
    probe = commands.add_parser("check", help="ask for a recommendation; fails when a service is missing or was substituted")
    for asking in (refresh, first, probe):
        asking.add_argument("--gateway", required=True, help="the gateway's address, such as http://127.0.0.1:8000")
    for writing in (refresh, first):
        writing.add_argument("--topics", type=Path, required=True, help="where the expander reads its topics artefact")
    for waiting in (first, probe):
        waiting.add_argument("--wait-s", type=float, default=60.0, help="seconds to wait for all four services")
    measured.add_options(commands.add_parser("evaluate", help="measure the served pipeline on held-out positives"))
    move = commands.add_parser("move-catalogue", help="make one retriever hold what another holds, such as Milvus what FAISS does")
    move.add_argument("--from", dest="source", required=True, help="the retriever to read, such as http://127.0.0.1:8003")
    move.add_argument("--to", dest="target", required=True, help="the retriever to fill")
    move.add_argument("--kind", help="kind of index of the filled spaces; each space's own when left out")
    embed.add_options(
        commands.add_parser("embed", help="embed a catalogue in NDJSON or Parquet into one file; goes on where it was cut off")
    )
    enrich.add_options(
        commands.add_parser("enrich", help="have an LLM write tags and a description of each item; goes on where it was cut off")
    )
    distil.add_options(commands.add_parser("distil", help="train the encoder's small T5 on generated texts; needs torch and transformers"))
    precompute.add_options(commands.add_parser("precompute", help="have the LLM expand the most frequent interests ahead of traffic"))
    sweep.add_options(commands.add_parser("sweep", help="measure LLM endpoints by size, load and prompt length: latency beside cost"))
    plan.add_options(commands.add_parser("plan", help="what a load needs on EKS and what that costs; asks no cloud"))
    return parser


def main() -> None:
    try:
        with ended_by_signals():
            _run(_parser().parse_args())
    except KeyboardInterrupt:
        sys.exit(130)
    except (
        ApiRefused,
        CheckFailed,
        EmbedFailed,
        EnrichFailed,
        EvaluateRefused,
        HeadUnusable,
        ImportIncomplete,
        MoveIncomplete,
        NotReady,
        PlanRefused,
        PrecomputeIncomplete,
        PrecomputeRefused,
        RetrieverRefused,
        SourceMissing,
        SuiteFailed,
        SweepFailed,
    ) as error:
        sys.exit(f"{type(error).__name__}: {error}")


def _run(chosen: argparse.Namespace) -> None:
    if chosen.job == "demo":
        demo.run(chosen.state, once=chosen.once, llm_url=chosen.llm_url, llm_model=chosen.llm_model)
    elif chosen.job == "refresh":
        with Api(chosen.gateway) as api:
            jobs.refresh(api, chosen.topics)
    elif chosen.job == "bootstrap":
        with Api(chosen.gateway) as api:
            bootstrap.run(api, chosen.source, chosen.topics, wait_s=chosen.wait_s, force=chosen.force)
    elif chosen.job == "check":
        with Api(chosen.gateway) as api:
            check.run(api, wait_s=chosen.wait_s)
    elif chosen.job == "move-catalogue":
        with Retriever(chosen.source) as source, Retriever(chosen.target) as target:
            print(f"Arrived: {move_catalogue.run(source, target, chosen.kind)}")
    elif chosen.job == "embed":
        embed.run(chosen)
    elif chosen.job == "precompute":
        precompute.run(chosen)
    elif chosen.job == "enrich":
        enrich.run(chosen)
    elif chosen.job == "distil":
        distil.run(chosen)
    elif chosen.job == "sweep":
        sweep.run(chosen)
    elif chosen.job == "plan":
        plan.run(chosen)
    else:
        evaluate.run(measured.Chosen.of(chosen))


if __name__ == "__main__":
    main()
