"""The command line of the runtimes. Knows what was asked, and does none of it."""

import argparse
import json
import shlex
import sys
from pathlib import Path

from expander.runtimes import artefacts, canary, compiling, export, pulse, serving
from expander.runtimes.errors import RuntimesError
from expander.runtimes.options import Options
from expander.runtimes.render import render
from expander.runtimes.table import PROFILES

TEXTS = ("model-name", "model-revision", "served-name", "image", "dtype", "host", "instance-type", "ami-alias")
COUNTS = ("tensor-parallel-size", "max-model-len", "max-num-seqs", "port", "min-replicas")


def parser() -> argparse.ArgumentParser:
    """All verbs and their options."""
    main = argparse.ArgumentParser(prog="python3 -m expander.runtimes", description="Runs vLLM by profile, from verified artefacts.")
    verbs = main.add_subparsers(dest="verb", required=True)
    verbs.add_parser("export", help="print the table as JSON")
    asked = _asking(verbs.add_parser("canary", help="ask a served model whether it honours a JSON schema"), timeout_s=60.0)
    asked.add_argument("--profile", choices=sorted(PROFILES), help="fail where the answer differs from what this profile says")
    _asking(verbs.add_parser("pulse", help="ask a served model for one token; fail when its device hangs"), timeout_s=30.0)
    for verb, text in (
        ("render", "print the command line as JSON, or with --shell as one line"),
        ("key", "print the key of the compiled artefact"),
        ("serve", "verify the artefact, then run vLLM"),
        ("compile", "run vLLM once until it is ready, and keep what it compiled"),
    ):
        _add_options(verbs.add_parser(verb, help=text), verb)
    return main


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 0, 2 for a wrong command line, else that of the error."""
    asked = parser().parse_args(arguments)
    try:
        return _run(asked)
    except RuntimesError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return error.status


def _asking(verb: argparse.ArgumentParser, timeout_s: float) -> argparse.ArgumentParser:
    verb.add_argument("--url", required=True, help="base URL with /v1")
    verb.add_argument("--model", required=True, help="name under which the model is served")
    verb.add_argument("--timeout-s", type=float, default=timeout_s)
    return verb


def _add_options(verb: argparse.ArgumentParser, name: str) -> None:
    verb.add_argument("--profile", required=True, choices=sorted(PROFILES))
    verb.add_argument("--model-path", required=True, help="absolute path of the model's folder")
    for text in TEXTS:
        verb.add_argument(f"--{text}")
    for count in COUNTS:
        verb.add_argument(f"--{count}", type=int)
    verb.add_argument("--model-billions", type=float, help="parameters; else read from the model's name")
    verb.add_argument("--prefix-caching", action=argparse.BooleanOptionalAction, default=None)
    if name == "render":
        verb.add_argument("--shell", action="store_true")
    if name in ("serve", "compile"):
        verb.add_argument("--artefacts", type=Path, default=Path("/artefacts/compiled"), help="folder of all compiled artefacts")
        verb.add_argument("--budget-s", type=float, help="seconds to become ready; else the profile's")
        verb.add_argument("--expect-key", default="", help="refuse to run when the key differs: whoever deployed has computed it too")


def _options(asked: argparse.Namespace) -> Options:
    names = [name.replace("-", "_") for name in (*TEXTS, *COUNTS)] + ["model_path", "model_billions", "prefix_caching"]
    return Options(**{name: value for name in names if (value := getattr(asked, name)) is not None})


def _run(asked: argparse.Namespace) -> int:
    if asked.verb == "export":
        sys.stdout.write(export.text())
        return 0
    if asked.verb == "canary":
        return canary.report(asked.url, asked.model, PROFILES.get(asked.profile or ""), asked.timeout_s)
    if asked.verb == "pulse":
        pulse.feel(asked.url, asked.model, asked.timeout_s)
        return 0
    profile, options = PROFILES[asked.profile], _options(asked)
    if asked.verb == "serve":
        return serving.serve(profile, options, asked.artefacts, asked.expect_key, budget_s=asked.budget_s)
    if asked.verb == "compile":
        return compiling.compile_artefact(profile, options, asked.artefacts, asked.expect_key, budget_s=asked.budget_s)
    if asked.verb == "key":
        print(artefacts.key(profile, options))
        return 0
    line = render(profile, options)
    print(shlex.join(line) if asked.shell else json.dumps(line))
    return 0


if __name__ == "__main__":
    sys.exit(main())
