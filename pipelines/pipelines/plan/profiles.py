"""Reads the runtime profiles that the chart reads too, and refuses what they say can not work. Knows no load and no price."""

import json
import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.plan.facts import Model, PlanRefused

PROFILES = Path(__file__).parents[3] / "deploy" / "helm" / "warmstart" / "files" / "runtime-profiles.json"
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
UNITS = {"Mi": 1, "Gi": 1024, "Ti": 1024 * 1024}


@dataclass(frozen=True)
class Server:
    """One vLLM pod: what it asks for (CPUs, MiB, devices) and how many sequences of how many tokens it works on at once."""

    profile: str
    tensor_parallel_size: int
    cpu: float
    mib: int
    devices: int
    device_resource: str
    instance_types: tuple[str, ...]
    sequences: int
    max_model_len: int
    notes: tuple[str, ...] = ()


def mebibytes(quantity: str) -> int:
    """`24Gi` as MiB."""
    return math.ceil(float(quantity[:-2]) * UNITS[quantity[-2:]])


def cpus(quantity: str) -> float:
    """`500m` or `6` as CPUs."""
    return float(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)


def read(path: Path = PROFILES) -> dict[str, Any]:
    """The rows by name; raises `PlanRefused` where the file is not there."""
    if not path.exists():
        raise PlanRefused(f"--profiles {path} is not there. Run in a checkout, or name the chart's files/runtime-profiles.json.")
    rows: dict[str, Any] = json.loads(path.read_text())["profiles"]
    return rows


def server(
    rows: dict[str, Any], profile: str, model: Model, size: int | None, sequences: int | None, length: int | None, share: float
) -> Server | None:
    """The pod for a model, None where someone else runs it; `share` of a device's memory is filled. Raises `PlanRefused`."""
    if profile not in rows:
        raise PlanRefused(f"--profile {profile} is unknown. Known: {', '.join(rows)}.")
    row = rows[profile]
    if not row["has_pod"]:
        return None
    for bad in row["known_bad"]:
        if re.search(bad["pattern"], model.name):
            raise PlanRefused(
                f"--model {model.name} on {profile} is refused: {bad['symptom']} ({bad['source']}). Take llama-3.1-8b, or another profile."
            )
    size = size or row["defaults"]["tensor_parallel_size"]
    if str(size) not in row["shapes"]:
        raise PlanRefused(f"--tensor-parallel-size {size} is not legal on {profile}. Choose one of {', '.join(row['shapes'])}.")
    length = length or row["defaults"]["max_model_len"]
    if length % row["context_multiple"]:
        raise PlanRefused(f"--max-model-len {length} on {profile} must be a multiple of {row['context_multiple']}.")
    shape, sequences = row["shapes"][str(size)], sequences or row["defaults"]["max_num_seqs"]
    built = Server(
        profile=profile,
        tensor_parallel_size=size,
        cpu=cpus(shape["serve"]["cpu"]),
        mib=mebibytes(shape["serve"]["memory"]),
        devices=shape["devices"],
        device_resource=row["device_resource"],
        instance_types=tuple(shape["serve"]["instance_types"]),
        sequences=sequences,
        max_model_len=length,
        notes=(f"{shape['devices']} devices in one pod need the Neuron scheduler extension.",) if shape["scheduler_extension"] else (),
    )
    gigabytes = shape["device_memory_gb"] or built.mib * 2**20 / 1e9
    held = _held(built, model, BYTES[row["defaults"]["dtype"]] / 2, gigabytes * share)
    # Contiguous keys and values are laid out for every sequence at full length; paged ones let vLLM run fewer at once.
    if held < 1 or (row["dialect"] == "nxdi-plugin" and held < sequences):
        raise PlanRefused(
            f"--model {model.name} does not fit {profile} at tensor parallel size {size}: {gigabytes * share:.1f} usable GB hold its"
            f" weights and {max(0, held)} sequences of {length} tokens, {sequences} are asked for."
            " Raise --tensor-parallel-size, or lower --sequences or --max-model-len."
        )
    return replace(built, sequences=min(held, sequences))


def _held(pod: Server, model: Model, width: float, usable_gb: float) -> int:
    """Full-length sequences that fit beside the weights; `width` is bytes a number over 2."""
    shards, usable = pod.tensor_parallel_size, usable_gb / pod.tensor_parallel_size
    weights = model.device_gb(shards, 0, 0) * width
    each = model.device_gb(shards, pod.max_model_len, 1) * width - weights
    return math.floor((usable - weights) / each)
