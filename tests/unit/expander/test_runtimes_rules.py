"""What the runtimes refuse, and what they say then."""

from typing import Any

import pytest

from expander.runtimes import rules
from expander.runtimes.errors import Refused
from expander.runtimes.options import Options
from expander.runtimes.render import render
from expander.runtimes.table import PROFILES

REFUSALS: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    ("trn1-sdk2.28", {"tensor_parallel_size": 4}, ("tensor parallel size 4", "#1214", "2, 8, 16, 32")),
    ("trn1-sdk2.31", {"tensor_parallel_size": 64}, ("64", "Choose one of 2, 8, 16, 32")),
    ("trn2", {"tensor_parallel_size": 2}, ("4, 16, 32, 64",)),
    ("gpu", {"tensor_parallel_size": 3}, ("1, 2, 4, 8",)),
    ("trn1-sdk2.28", {"max_model_len": 2000}, ("max_model_len 2000", "multiple of 512", "Use 2048")),
    ("trn2", {"max_model_len": 100}, ("max_model_len 100", "Use 512")),
    ("cpu", {"max_model_len": -1}, ("max_model_len -1",)),
    ("cpu", {"max_num_seqs": -1}, ("max_num_seqs -1",)),
    ("cpu", {"dtype": "int8"}, ("dtype int8", "float32")),
    ("trn1-sdk2.28", {"model_path": "/m/Llama-3.2-1B-Instruct"}, ("Llama-3.2-1B-Instruct", "NCC_ITEN404", "TinyLlama")),
    ("trn1-sdk2.28", {"model_path": "/m", "model_name": "meta-llama/Llama-3.2-3B"}, ("#1120",)),
    ("trn1-sdk2.31", {"model_path": "/m/qwen2.5-1.5b-instruct"}, ("does not compile",)),
    ("trn1-sdk2.31", {"model_path": "/m/Llama-3.3-70B", "tensor_parallel_size": 32}, ("NCC_INLA001", "vllm-neuron #16")),
    ("trn1-sdk2.28", {"prefix_caching": True}, ("prefix caching", "#1304", "Leave it off")),
    ("trn1-sdk2.28", {"min_replicas": 0}, ("0 replicas", "#1338", "Keep at least 1")),
    ("trn2", {"min_replicas": 0}, ("#1338",)),
    ("trn1-sdk2.28", {"ami_alias": "al2023@latest"}, ("al2023@latest", "nrt_init", "pin it")),
    ("trn1-sdk2.28", {"ami_alias": "al2023@v<YYYYMMDD>"}, ("eight digits",)),
    ("trn1-sdk2.28", {"model_path": "TinyLlama/TinyLlama-1.1B"}, ("model path", "NotImplementedError", "absolute path")),
    ("gpu", {"model_path": "Qwen/Qwen3-8B"}, ("downloads nothing",)),
    ("cpu", {"served_name": "a{port}"}, ("served_name", "braces")),
    ("cpu", {"model_revision": "a\nflags=1"}, ("model_revision", "control characters")),
    ("trn1-sdk2.28", {"instance_type": "p5.48xlarge"}, ("p5.48xlarge", "trn1.2xlarge")),
    ("trn1-sdk2.28", {"instance_type": "trn1.2xlarge", "tensor_parallel_size": 8}, ("tensor parallel size 8 runs on trn1.32xlarge",)),
    ("trn1-sdk2.28", {"model_path": "/m/Big-70B"}, ("140 GB", "32 GB", "Raise the tensor parallel size")),
    ("external", {}, ("someone else runs", "EXPANDER_LLM_URL")),
]


@pytest.mark.parametrize(("profile", "changes", "said"), REFUSALS)
def test_what_can_not_work_is_refused_with_value_reason_and_remedy(profile: str, changes: dict[str, Any], said: tuple[str, ...]) -> None:
    with pytest.raises(Refused) as refused:
        render(PROFILES[profile], Options(**{"model_path": "/m/TinyLlama-1.1B", **changes}))
    assert [part for part in said if part not in str(refused.value)] == []
    assert refused.value.value
    assert refused.value.reason
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("profile", "changes"),
    [
        (
            "trn1-sdk2.28",
            {"tensor_parallel_size": 32, "max_model_len": 4096, "instance_type": "trn1.32xlarge", "ami_alias": "al2023@v20260101"},
        ),
        ("trn1-sdk2.28", {"model_path": "/m/Llama-3.1-8B-Instruct", "instance_type": "trn1.2xlarge"}),
        ("trn2", {"model_path": "/m/Llama-3.3-70B", "tensor_parallel_size": 64, "prefix_caching": True}),
        ("gpu", {"min_replicas": 0, "max_model_len": 1000}),
    ],
)
def test_what_works_is_not_refused(profile: str, changes: dict[str, Any]) -> None:
    assert render(PROFILES[profile], Options(**{"model_path": "/m/TinyLlama-1.1B", **changes}))[0] == "vllm"


def test_a_large_model_is_not_compiled_on_a_small_host() -> None:
    profile, small = PROFILES["trn1-sdk2.28"], "trn1.2xlarge"
    with pytest.raises(Refused, match=r"8 billion.*#1222.*trn1\.32xlarge"):
        rules.check(profile, Options("/m/Llama-3.1-8B", instance_type=small), compiling=True)
    with pytest.raises(Refused, match="unknown size"):
        rules.check(profile, Options("/m/zephyr", instance_type=small), compiling=True)
    assert rules.check(profile, Options("/m/zephyr", instance_type=small, model_billions=7.2), compiling=True).devices == 1
    assert rules.check(profile, Options("/m/TinyLlama-1.1B", instance_type=small), compiling=True).devices == 1
    assert rules.check(profile, Options("/m/Llama-3.1-8B", instance_type="trn1.32xlarge"), compiling=True).devices == 1


@pytest.mark.parametrize(
    ("name", "billions"),
    [("Llama-3.1-8B-Instruct", 8.0), ("Qwen2.5-1.5B", 1.5), ("gpt-oss-20b", 20.0), ("mistral", None), ("t5-base", None)],
)
def test_the_size_is_read_from_the_name(name: str, billions: float | None) -> None:
    assert rules.billions(Options(f"/m/{name}")) == billions
