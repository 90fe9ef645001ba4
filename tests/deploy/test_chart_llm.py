"""vLLM by runtime profile: the chart says what the expander's table says, to the letter."""

import json
from typing import Any

import pytest
from tests.deploy.rendering import ANSWERS, CHART, Object, container, merged, objects, of_kind, pods, render, values_of

from expander.runtimes import artefacts
from expander.runtimes.__main__ import _options, parser
from expander.runtimes.options import Options
from expander.runtimes.render import render as command_line
from expander.runtimes.table import PROFILES

NEURON = {"trn1-sdk2.28": "eks-trn1", "trn1-sdk2.31": "eks-trn1", "trn2": "eks-trn2"}
PLAIN = ("gpu", "cpu")


def values_for(profile: str, **llm: Any) -> Object:
    nodes = {"nodeSelector": {"warmstart/runtime-profile": profile}} if profile in NEURON else {}
    return merged(values_of(NEURON.get(profile, profile)), {"llm": {"profile": profile, **nodes, **llm}})


def pod(values: Object, component: str = "llm") -> Object:
    return dict(pods(render(values)))[component]


def test_the_table_in_the_chart_is_the_expanders() -> None:
    from expander.runtimes import export

    assert (CHART / "files" / "runtime-profiles.json").read_text() == export.text()


@pytest.mark.parametrize("profile", PLAIN)
@pytest.mark.parametrize("llm", [{}, {"maxModelLen": 1024, "maxNumSeqs": 2}])
def test_vllm_gets_exactly_the_command_line_that_the_table_renders(profile: str, llm: Object) -> None:
    name = ANSWERS["llm.model.name"]
    options = Options(
        model_path=f"/artefacts/models/{name}", served_name=name, max_model_len=llm.get("maxModelLen"), max_num_seqs=llm.get("maxNumSeqs")
    )
    only = container(pod(values_for(profile, **llm)))
    assert (*only["command"], *only["args"]) == command_line(PROFILES[profile], options)
    assert {one["name"]: one["value"] for one in only["env"]}.items() >= dict(PROFILES[profile].environment).items()


@pytest.mark.parametrize("profile", NEURON)
def test_the_wrapper_understands_what_it_is_told_and_computes_the_key_that_the_chart_expects(profile: str) -> None:
    for component, verb in (("llm", "serve"), ("model-compile", "compile")):
        only = container(pod(values_for(profile), component))
        assert only["command"] == ["python3", "-m", "expander.runtimes", verb]
        asked = parser().parse_args([verb, *only["args"]])
        assert asked.expect_key == artefacts.key(PROFILES[profile], _options(asked))
        assert asked.image == only["image"]
        assert command_line(PROFILES[profile], _options(asked))


def _job(values: Object) -> Object:
    return of_kind(render(values), "Job")["model-compile"]


@pytest.mark.parametrize("profile", NEURON)
def test_the_compile_job_is_named_by_the_key(profile: str) -> None:
    job = _job(values_for(profile))
    key = job["metadata"]["annotations"]["warmstart/compile-key"]
    assert f"--expect-key={key}" in container(job["spec"]["template"])["args"]
    assert f"-model-compile-{key[:16]}-" in job["metadata"]["name"]


@pytest.mark.parametrize(
    "change",
    [
        {"llm": {"model": {"revision": "other"}}},
        {"llm": {"model": {"name": "Llama-3.1-8B"}}},
        {"llm": {"tensorParallelSize": 32}},
        {"llm": {"maxModelLen": 1024}},
        {"llm": {"maxNumSeqs": 4}},
        {"llm": {"profile": "trn1-sdk2.31", "nodeSelector": {"warmstart/runtime-profile": "trn1-sdk2.31"}}},
        {"llm": {"image": {"digest": f"sha256:{'d' * 64}"}}},
    ],
    ids=["revision", "model", "cores", "length", "sequences", "profile", "image"],
)
def test_another_input_of_the_compiler_is_another_key(change: Object) -> None:
    def key(values: Object) -> str:
        return str(_job(values)["metadata"]["annotations"]["warmstart/compile-key"])

    assert key(values_for("trn1-sdk2.28")) != key(merged(values_for("trn1-sdk2.28"), change))


def test_what_does_not_reach_the_compiler_keeps_the_key() -> None:
    values = values_for("trn1-sdk2.28")
    assert (
        len(
            {
                _job(chosen)["metadata"]["annotations"]["warmstart/compile-key"]
                for chosen in (values, merged(values, {"llm": {"replicas": 3}}))
            }
        )
        == 1
    )


@pytest.mark.parametrize("profile", [name for name, row in PROFILES.items() if row.has_pod])
def test_every_legal_size_gets_its_devices_memory_and_nodes(profile: str) -> None:
    row = PROFILES[profile]
    for size, shape in row.shapes.items():
        spec = pod(values_for(profile, tensorParallelSize=size, schedulerName="neighbours"))["spec"]
        resources = spec["containers"][0]["resources"]
        assert resources["requests"]["memory"] == resources["limits"]["memory"] == shape.serve.memory
        assert resources["limits"].get(row.device_resource, 0) == shape.devices
        assert {volume["name"]: volume for volume in spec["volumes"]}["shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": shape.shm}
        types = json.dumps(spec.get("affinity", {}))
        assert all(name in types for name in shape.serve.instance_types)


@pytest.mark.parametrize("profile", [name for name, row in PROFILES.items() if row.has_pod])
def test_vllm_has_its_start_up_budget_and_is_left_alone_meanwhile(profile: str) -> None:
    budget, found = PROFILES[profile].start_budget_s, render(values_for(profile))
    deployment = of_kind(found, "Deployment")["llm"]
    probe = container(deployment["spec"]["template"])["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= budget
    assert deployment["spec"]["progressDeadlineSeconds"] > budget
    assert deployment["spec"]["template"]["metadata"]["annotations"]["karpenter.sh/do-not-disrupt"] == f"{budget // 60}m"


@pytest.mark.parametrize("profile", NEURON)
def test_neuron_pods_tolerate_the_taint_and_compilers_are_never_disturbed(profile: str) -> None:
    for component in ("llm", "model-compile"):
        assert {"key": "aws.amazon.com/neuron", "operator": "Exists", "effect": "NoSchedule"} in pod(values_for(profile), component)[
            "spec"
        ]["tolerations"]
    assert pod(values_for(profile), "model-compile")["metadata"]["annotations"]["karpenter.sh/do-not-disrupt"] == "true"


def test_no_pod_says_how_large_the_world_is() -> None:
    for case in ("eks-trn1", "eks-trn2", "gpu", "cpu"):
        for _, one in pods(objects(case)):
            assert not {"WORLD_SIZE", "LOCAL_WORLD_SIZE"} & {variable["name"] for variable in container(one).get("env", [])}


@pytest.mark.parametrize("values", [{}, values_of("external")])
def test_without_a_pod_of_its_own_nothing_of_vllm_is_deployed(values: Object) -> None:
    assert not {"llm", "model-compile"} & {component for component, _ in pods(render(values))}


def test_an_artefact_that_comes_by_other_means_needs_no_job() -> None:
    assert "model-compile" not in dict(pods(render(values_for("trn1-sdk2.28", compile={"enabled": False}))))
    assert "model-compile" not in dict(pods(objects("gpu")))


def test_resources_and_placement_can_be_changed() -> None:
    spec = pod(values_for("gpu", resources={"limits": {"memory": "20Gi"}, "requests": {"memory": "20Gi"}}, nodeSelector={"a": "b"}))["spec"]
    assert spec["containers"][0]["resources"]["limits"] == {"memory": "20Gi", "nvidia.com/gpu": 1}
    assert spec["nodeSelector"] == {"a": "b"}
