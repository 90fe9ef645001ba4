"""The encoder on NeuronCores and on prepared models: the pods get what the service wants, and the Job compiles what they open."""

from pathlib import Path
from typing import Any

import pytest
from tests.deploy.rendering import NEURON, Object, container, merged, nested, of_kind, pods, render

from encoder import compiling
from encoder.settings import Settings

CHIP = "aws.amazon.com/neuron"
TAINT = {"key": CHIP, "operator": "Exists", "effect": "NoSchedule"}


def neuron(**changed: Any) -> tuple[Object, ...]:
    return render(merged(NEURON, {"services": {"encoder": {"neuron": changed}}}))


def told(found: tuple[Object, ...]) -> dict[str, str]:
    return dict(of_kind(found, "ConfigMap")["encoder"]["data"])


def compiler(found: tuple[Object, ...]) -> Object:
    return dict(of_kind(found, "Job")["encoder-compile"])


def test_an_encoder_has_no_chips_unless_they_are_asked_for() -> None:
    found = render({})
    assert CHIP not in str(found)
    assert "encoder-compile" not in dict(pods(found))
    assert container(dict(pods(found))["encoder"])["image"] == "warmstart/encoder:0.1.0"


@pytest.mark.parametrize(
    ("device", "chips", "cores"),
    [("inf2/bf16", 1, 2), ("trn1/fp32", 2, 4), ("trn1n/bf16", 1, 2), ("trn2/bf16", 1, 4), ("trn2/bf16", 3, 12)],
)
def test_a_pod_gets_whole_chips_and_a_thread_for_each_of_their_cores(device: str, chips: int, cores: int) -> None:
    found = neuron(device=device, chips=chips)
    pod = dict(pods(found))["encoder"]
    resources = container(pod)["resources"]
    assert resources["requests"][CHIP] == resources["limits"][CHIP] == chips
    assert resources["requests"].keys() == {CHIP, "cpu", "memory"}
    assert resources["limits"].keys() == {CHIP, "memory"}
    assert pod["spec"]["tolerations"] == [TAINT]
    assert told(found)["ENCODER_THREADS"] == str(cores)
    assert not [one for one in container(pod)["env"] if one["name"] == "ENCODER_THREADS"]


def test_tolerations_of_ones_own_stay_beside_that_of_the_chips() -> None:
    mine = {"key": "team", "operator": "Exists"}
    found = render(merged(NEURON, nested("services.encoder.tolerations", [mine])))
    assert dict(pods(found))["encoder"]["spec"]["tolerations"] == [mine, TAINT]


def test_the_service_accepts_what_the_pod_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in told(neuron()).items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert (settings.backend, settings.device, settings.threads) == ("neuron", "inf2/bf16", 2)


def test_the_job_understands_its_command_and_compiles_what_the_pods_open() -> None:
    found = render(
        merged(
            NEURON,
            {"services": {"encoder": {"settings": {"max_tokens": 128}, "neuron": {"compile": {"rows": [1, 4], "lengths": [32, 64]}}}}},
        )
    )
    only = container(compiler(found)["spec"]["template"])
    assert only["command"] == ["python3", "-m", "encoder", "compile"]
    asked = compiling._parser().parse_args(only["args"])
    variables = told(found)
    assert variables["ENCODER_MODEL"] == str(asked.out / Path(asked.model).name)
    assert variables["ENCODER_DEVICE"] == f"{asked.target}/{asked.precision}"
    assert (asked.max_tokens, asked.rows, asked.lengths) == (128, [1, 4], [32, 64])
    assert variables["ENCODER_MAX_TOKENS"] == "128"
    assert compiling._parser().parse_args(container(compiler(neuron())["spec"]["template"])["args"]).lengths == []


def test_the_job_runs_the_image_of_the_pods_and_asks_for_no_chip() -> None:
    found = neuron()
    job, pod = compiler(found)["spec"]["template"], dict(pods(found))["encoder"]
    assert container(job)["image"] == container(pod)["image"] == "warmstart/encoder-neuron:0.1.0"
    assert CHIP not in str(job)
    assert job["spec"]["nodeSelector"] == {"kubernetes.io/arch": "amd64"}
    assert pod["spec"]["nodeSelector"] == {"warmstart/intention": "inf2"}


def test_pods_read_what_the_job_writes() -> None:
    found = neuron()
    mounts = [
        {mount["mountPath"]: mount.get("readOnly", False) for mount in container(pod)["volumeMounts"]}["/artefacts"]
        for pod in (compiler(found)["spec"]["template"], dict(pods(found))["encoder"])
    ]
    assert mounts == [False, True]


@pytest.mark.parametrize(
    "change",
    [{"model": "/artefacts/models/other"}, {"device": "trn1/bf16"}, {"compile": {"rows": [2]}}, {"image": {"tag": "9"}}],
    ids=["model", "device", "rows", "image"],
)
def test_a_job_that_compiles_something_else_gets_another_name(change: Object) -> None:
    names = {compiler(found)["metadata"]["name"] for found in (neuron(), neuron(**change))}
    assert len(names) == 2


def test_more_chips_compile_nothing_anew() -> None:
    assert len({compiler(found)["metadata"]["name"] for found in (neuron(), neuron(chips=2))}) == 1


def test_what_was_compiled_elsewhere_needs_no_job() -> None:
    found = neuron(compile={"enabled": False})
    assert "encoder-compile" not in dict(pods(found))
    assert told(found)["ENCODER_MODEL"] == "/artefacts/encoder/sentence-t5-base"


def test_an_image_of_ones_own_and_a_digest_win() -> None:
    digest = f"sha256:{'d' * 64}"
    images = {"repository": "mirror.example/encoder-neuron", "tag": "1", "digest": digest}
    assert container(dict(pods(neuron(image=images)))["encoder"])["image"] == f"mirror.example/encoder-neuron@{digest}"
    pinned = render(merged(NEURON, {"image": {"digests": {"encoder": digest}}}))
    assert container(dict(pods(pinned))["encoder"])["image"] == "warmstart/encoder-neuron:0.1.0", "a digest of another image"


def test_cores_have_time_to_load_their_buckets() -> None:
    probe = container(dict(pods(neuron()))["encoder"])["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 900


@pytest.mark.parametrize("model", ["/artefacts/models/sentence-t5-base-int8", "/artefacts/models/e5"])
def test_a_prepared_model_is_read_where_it_was_put(model: str) -> None:
    found = render({"services": {"encoder": {"settings": {"model": model, "recent_bytes": 0}}}})
    assert told(found)["ENCODER_MODEL"] == model
    assert told(found)["ENCODER_RECENT_BYTES"] == "0"
    mounts = {mount["mountPath"]: mount for mount in container(dict(pods(found))["encoder"])["volumeMounts"]}
    assert mounts["/artefacts"]["readOnly"] is True
