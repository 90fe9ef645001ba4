"""The table of runtimes, the command lines it gives, and the file that the chart reads."""

import ast
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from expander.runtimes import export
from expander.runtimes.options import Options, values
from expander.runtimes.profile import Profile
from expander.runtimes.render import environment, render
from expander.runtimes.table import PROFILES

ROOT = Path(__file__).parents[3]
EXPORTED = ROOT / "deploy" / "helm" / "warmstart" / "files" / "runtime-profiles.json"
WITH_PODS = [profile for profile in PROFILES.values() if profile.has_pod]
NEURON = [profile for profile in WITH_PODS if profile.device_resource == "aws.amazon.com/neuron"]
MODEL = Options(model_path="/artefacts/models/TinyLlama-1.1B")
SERVE = (
    "vllm serve /artefacts/models/TinyLlama-1.1B --served-model-name expander --host 0.0.0.0 --port 8000 --tensor-parallel-size {tp}"
    " --max-model-len 2048 --max-num-seqs {seqs} --dtype {dtype} {caching}"
)
NXDI = (
    '{"override_neuron_config": {"enable_bucketing": true, "context_encoding_buckets": [512,1024,2048], "token_generation_buckets":'
    ' [512,1024,2048], "async_mode": true, "on_device_sampling_config": {"dynamic": true, "global_top_k": 256}}}'
)
TRN2 = (
    '{"neuron_config": {"num_batched_tokens_buckets": [512,1024,2048], "num_seqs_buckets": [8], "enable_structured_outputs": true,'
    ' "on_device_sampling_config": {"all_greedy": "true"}}}'
)
COMPACT = '{"backend": "xgrammar", "disable_any_whitespace": true}'
OFF, ON = "--no-enable-prefix-caching", "--enable-prefix-caching"
TRN1_LINE = (
    *SERVE.format(tp=2, seqs=8, dtype="bfloat16", caching=OFF).split(),
    *("--block-size", "32", "--num-gpu-blocks-override", "8", "--additional-config", NXDI),
)
LINES = {
    "trn1-sdk2.28": TRN1_LINE,
    "trn1-sdk2.31": TRN1_LINE,
    "trn2": (
        *SERVE.format(tp=4, seqs=8, dtype="bfloat16", caching=OFF).split(),
        *("--max-num-batched-tokens", "2048", "--additional-config", TRN2),
    ),
    "gpu": (*SERVE.format(tp=1, seqs=64, dtype="bfloat16", caching=ON).split(), "--structured-outputs-config", COMPACT),
    "cpu": (
        *SERVE.format(tp=1, seqs=4, dtype="float32", caching=ON).split(),
        *("--enforce-eager", "--structured-outputs-config", COMPACT),
    ),
}


def names(profile: Profile) -> str:
    return profile.name


@pytest.mark.parametrize("profile", WITH_PODS, ids=names)
def test_every_profile_renders_exactly_its_line(profile: Profile) -> None:
    assert render(profile, MODEL) == LINES[profile.name]


@pytest.mark.parametrize("profile", WITH_PODS, ids=names)
def test_no_placeholder_is_left_in_a_line_or_an_environment(profile: Profile) -> None:
    told = [*render(profile, MODEL), *(value for _, value in environment(profile, "/compiled", compiling=True))]
    told += [value for _, value in environment(profile, "/compiled", compiling=False)]
    assert [part for part in told if re.search(r"\{\w+\}", part)] == []
    assert [json.loads(part) for part in told if part.startswith("{")]


def test_options_reach_the_line() -> None:
    options = Options(
        "/m", served_name="s", tensor_parallel_size=8, max_model_len=4096, max_num_seqs=3, dtype="float16", host="127.0.0.1", port=9
    )
    line = " ".join(render(PROFILES["trn1-sdk2.28"], options))
    for expected in (
        *("serve /m ", "--served-model-name s ", "--host 127.0.0.1 ", "--port 9 ", "--tensor-parallel-size 8 ", "--dtype float16 "),
        *("--max-model-len 4096 ", "--max-num-seqs 3 ", "--num-gpu-blocks-override 3 ", "[1024,2048,4096]"),
    ):
        assert expected in line


def test_prefix_caching_can_be_turned_on_and_off_where_it_works() -> None:
    assert ON in render(PROFILES["trn2"], Options("/m", prefix_caching=True))
    assert OFF in render(PROFILES["gpu"], Options("/m", prefix_caching=False))


def test_the_committed_file_is_what_the_table_exports() -> None:
    assert EXPORTED.read_text() == export.text(), (
        "run: python3 -m expander.runtimes export > deploy/helm/warmstart/files/runtime-profiles.json"
    )


@pytest.mark.parametrize("profile", WITH_PODS, ids=names)
def test_plain_replacement_over_the_exported_file_gives_the_same_line(profile: Profile) -> None:
    document: dict[str, Any] = json.loads(EXPORTED.read_text())
    row = document["profiles"][profile.name]
    preset = row["defaults"]
    length = preset["max_model_len"]
    known = {**{name: str(value) for name, value in preset.items()}, "model_path": MODEL.model_path, "served_name": "expander"}
    known |= {"buckets": f"{length // 4},{length // 2},{length}", "prefix_caching": ON if preset["prefix_caching"] else OFF}
    line = list(row["args"])
    for name, value in known.items():
        line = [argument.replace("{" + name + "}", value) for argument in line]
    assert (*row["command"], *line) == render(profile, MODEL)


def test_every_placeholder_of_the_table_is_described() -> None:
    document: dict[str, Any] = json.loads(EXPORTED.read_text())
    described = set(document["placeholders"])
    rows = document["profiles"].values()
    templates = [part for row in rows for part in (*row["args"], *row["environment"].values())]
    templates += [*document["key"]["lines"], *document["wrapper"]["serve"], *document["wrapper"]["compile"]]
    used = {name for part in templates for name in re.findall(r"\{(\w+)\}", part)}
    assert used == described
    assert set(values(PROFILES["trn2"], MODEL)) <= described


@pytest.mark.parametrize("profile", NEURON, ids=names)
def test_neuron_profiles_ask_for_legal_numbers_of_chips_that_hold_the_cores(profile: Profile) -> None:
    cores_per_chip = {"trn1": 2, "trn2": 4}[profile.compile_target]
    for size, shape in profile.shapes.items():
        assert shape.devices in (1, 4, 8, 16)
        assert shape.devices * cores_per_chip == size
    assert profile.device_resource == profile.taint_key == "aws.amazon.com/neuron"
    assert profile.start_budget_s == 1800
    assert (profile.scale_to_zero_allowed, profile.needs_compile) == (False, True)
    assert {"WORLD_SIZE", "LOCAL_WORLD_SIZE"} <= set(profile.unset)


# Allocatable milli-processors and Mi of memory: Karpenter's tables where they were seen, else nine tenths of the instance's size.
ALLOCATABLE = {"trn1.2xlarge": (7910, 29317), "trn1.32xlarge": (115_200, 481_894), "trn1n.32xlarge": (115_200, 481_894)}
ALLOCATABLE |= {"trn2.48xlarge": (172_800, 1_887_436)}
CHIPS = {"trn1.2xlarge": 1, "trn1.32xlarge": 16, "trn1n.32xlarge": 16, "trn2.48xlarge": 16}


@pytest.mark.parametrize("profile", NEURON, ids=names)
def test_requests_fit_each_instance_type_as_often_as_its_chips_do(profile: Profile) -> None:
    for shape in profile.shapes.values():
        for instance_type in shape.serve.instance_types:
            pods = CHIPS[instance_type] // shape.devices
            cpu, memory = ALLOCATABLE[instance_type]
            assert pods >= 1
            assert int(shape.serve.cpu) * 1000 * pods < cpu
            assert int(shape.serve.memory.removesuffix("Gi")) * 1024 * pods < memory
        assert set(shape.compile.instance_types) <= set(shape.serve.instance_types)
        assert int(shape.shm.removesuffix("Gi")) < int(shape.serve.memory.removesuffix("Gi"))


def test_images_are_pinned_and_neuron_ones_are_ours_over_a_named_container() -> None:
    for profile in WITH_PODS:
        assert not profile.image.run.endswith(":latest")
        assert re.search(r":[\w<.]", profile.image.base_image or profile.image.run)
        assert bool(profile.image.ours) == bool(profile.image.base_image) == profile.needs_compile
    assert len({profile.image.run for profile in NEURON}) == len(NEURON), "one tag must not mean several images"


def test_only_profiles_that_obey_a_schema_or_are_tried_are_sent_one() -> None:
    sent = {name for name, row in export.document()["profiles"].items() if row["sends_response_format"]}
    assert sent == {"trn2", "gpu", "cpu", "external"}
    assert {name for name, profile in PROFILES.items() if profile.structured_output in ("supported", "probed")} == sent


def test_its_grammar_is_that_of_the_oldest_python_of_the_containers() -> None:
    sources = sorted((ROOT / "services" / "expander" / "expander" / "runtimes").glob("*.py"))
    assert len(sources) >= 10
    for source in sources:
        ast.parse(source.read_text(), source.name, feature_version=(3, 10))


@pytest.mark.parametrize("version", ["3.10", "3.11", "3.12", "3.13"])
def test_it_runs_alone_on_every_python_of_the_containers(version: str, tmp_path: Path) -> None:
    python = shutil.which(f"python{version}")
    if python is None or subprocess.run([python, "-c", ""], capture_output=True).returncode:
        pytest.skip(f"python{version} is not installed")
    package = ROOT / "services" / "expander" / "expander"
    (tmp_path / "expander").mkdir()
    shutil.copy(package / "__init__.py", tmp_path / "expander")
    shutil.copytree(package / "runtimes", tmp_path / "expander" / "runtimes", ignore=shutil.ignore_patterns("__pycache__"))
    line = [python, "-S", "-W", "error", "-m", "expander.runtimes", "export"]
    printed = subprocess.run(line, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True)
    assert (printed.returncode, printed.stderr) == (0, "")
    assert printed.stdout == EXPORTED.read_text()
