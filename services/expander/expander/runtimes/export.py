"""The table as JSON, for readers that are not Python (the chart). Knows nothing of them."""

import dataclasses
import json
from typing import Any

from expander.runtimes.artefacts import KEY_LINES, MANIFEST
from expander.runtimes.options import PLACEHOLDERS
from expander.runtimes.profile import Profile
from expander.runtimes.rules import PINNED_AMI
from expander.runtimes.table import PROFILES

WRAPPER = (
    *("python3", "-m", "expander.runtimes", "{verb}", "--profile", "{profile}", "--artefacts", "{artefacts}", "--expect-key", "{key}"),
    *("--model-path", "{model_path}", "--model-name", "{model_name}", "--model-revision", "{model_revision}", "--image", "{image}"),
    *("--served-name", "{served_name}", "--host", "{host}", "--port", "{port}", "--dtype", "{dtype}"),
    *("--tensor-parallel-size", "{tensor_parallel_size}", "--max-model-len", "{max_model_len}", "--max-num-seqs", "{max_num_seqs}"),
)
"""What the pods of the profiles that compile run; `{verb}` is `serve` or `compile`."""
MAPPINGS = ("environment", "serve_environment")


def document() -> dict[str, Any]:
    """All that a reader needs to render the same command lines and keys."""
    return {
        "generated_by": "python3 -m expander.runtimes export",
        "placeholders": PLACEHOLDERS,
        "key": {"lines": list(KEY_LINES), "joined_by": "\n", "hash": "sha256", "manifest": MANIFEST},
        "wrapper": {verb: [argument.replace("{verb}", verb) for argument in WRAPPER] for verb in ("serve", "compile")},
        "ami_alias_pattern": PINNED_AMI.pattern,
        "profiles": {name: _row(profile) for name, profile in PROFILES.items()},
    }


def text() -> str:
    """The document as it is committed."""
    return json.dumps(document(), indent=2) + "\n"


def _row(profile: Profile) -> dict[str, Any]:
    row = dataclasses.asdict(profile)
    return {
        **row,
        **{name: dict(row[name]) for name in MAPPINGS},
        "command": ["vllm"] if profile.has_pod else [],
        "flags": profile.flags,
        "tensor_parallel_sizes": sorted(profile.shapes),
        "shapes": {str(size): shape for size, shape in row["shapes"].items()},
        "sends_response_format": profile.sends_response_format,
    }
