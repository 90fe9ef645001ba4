"""What the pods are told: every variable is a setting that its service accepts, and no secret is among them."""

import importlib
import re
from typing import Any

import pytest
from tests.deploy.rendering import CASES, SERVICES, Object, container, merged, objects, of_kind, pods, render, values_of

from servicekit.settings import ServiceSettings

SECRET = re.compile(r"://[^/\s]*:[^/\s]*@|password|sk-[A-Za-z0-9]{8}|BEGIN [A-Z ]*PRIVATE KEY", re.IGNORECASE)
CHOSEN: dict[str, dict[str, Any]] = {
    "gateway": {"max_body_bytes": 134_217_728, "expander_share": 0.25, "ladder_path": "/artefacts/ladder.json"},
    "encoder": {"model": "/artefacts/models/e5", "prefix": "passage: ", "max_json_bytes": 16_777_216},
    "expander": {"cache_size": 1000, "cache_ttl_s": 60},
    "retriever": {"search_threads": 8, "log_level": "DEBUG"},
}


def settings_class(service: str) -> type[ServiceSettings]:
    found: type[ServiceSettings] = importlib.import_module(f"{service}.settings").Settings
    return found


def told(found: tuple[Object, ...], service: str) -> dict[str, str]:
    """The ConfigMap that the service's pod reads."""
    (source,) = [one for one in container(dict(pods(found))[service])["envFrom"] if "configMapRef" in one]
    (config,) = [one for one in found if one["kind"] == "ConfigMap" and one["metadata"]["name"] == source["configMapRef"]["name"]]
    return dict(config["data"])


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("service", SERVICES)
def test_every_variable_is_a_setting_and_is_accepted(case: str, service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    variables, prefix = told(objects(case), service), f"{service.upper()}_"
    fields = settings_class(service).model_fields
    for variable, value in variables.items():
        assert variable.removeprefix(prefix).lower() in fields, variable
        monkeypatch.setenv(variable, value)
    chosen = settings_class(service)()
    assert chosen.host == "0.0.0.0"
    assert str(chosen.state_dir) == "/state"
    assert chosen.port == container(dict(pods(objects(case)))[service])["ports"][0]["containerPort"]


@pytest.mark.parametrize("service", SERVICES)
def test_chosen_settings_arrive_as_they_were_written(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = render({"services": {name: {"settings": chosen} for name, chosen in CHOSEN.items()}})
    for variable, value in told(found, service).items():
        monkeypatch.setenv(variable, value)
    settings = settings_class(service)()
    for name, value in CHOSEN[service].items():
        assert str(getattr(settings, name)) == str(float(value) if name.endswith("_s") else value)


def test_a_service_whose_setting_names_an_artefact_can_read_it() -> None:
    found = render({"services": {name: {"settings": chosen} for name, chosen in CHOSEN.items()}})
    readers = {name for name, pod in pods(found) if any(m["mountPath"] == "/artefacts" for m in container(pod)["volumeMounts"])}
    assert {"gateway", "encoder", "expander"} <= readers
    assert "retriever" not in readers


def test_services_find_each_other() -> None:
    gateway, services = told(objects("default"), "gateway"), of_kind(objects("default"), "Service")
    for other in ("encoder", "expander", "retriever"):
        service = services[other]
        assert gateway[f"GATEWAY_{other.upper()}_URL"] == f"http://{service['metadata']['name']}:{service['spec']['ports'][0]['port']}"


@pytest.mark.parametrize(
    ("case", "url"), [("gpu", "http://warmstart-llm:8000/v1"), ("external", "https://llm.example:8443/v1"), ("dev", None)]
)
def test_the_expander_asks_the_llm_that_is_configured(case: str, url: str | None) -> None:
    assert told(objects(case), "expander").get("EXPANDER_LLM_URL") == url
    if url:
        assert told(objects(case), "expander")["EXPANDER_LLM_MODEL"] == "TinyLlama-1.1B-Chat-v1.0"
        assert told(objects(case), "expander")["EXPANDER_LLM_PROFILE"] == case


def test_secrets_come_by_reference() -> None:
    def references(case: str, component: str) -> dict[str, Any]:
        pod = dict(pods(objects(case)))[component]
        return {
            one["name"]: one["valueFrom"]["secretKeyRef"] for one in container(pod)["env"] if "secretKeyRef" in one.get("valueFrom", {})
        }

    assert references("eks-trn1", "gateway") == {"GATEWAY_PROFILES_URL": {"name": "profiles", "key": "url"}}
    assert references("external", "expander") == {"EXPANDER_LLM_API_KEY": {"name": "llm-key", "key": "api-key"}}


@pytest.mark.parametrize("case", CASES)
def test_no_secret_is_in_plain_values(case: str) -> None:
    found = objects(case)
    assert [one for one in found if one["kind"] == "Secret"] == []
    for one in found:
        assert not SECRET.search(str(one.get("data", "")))
    for _, pod in pods(found):
        for variable in container(pod).get("env", []):
            assert not SECRET.search(str(variable.get("value", "")))
            assert not re.search("KEY|SECRET|TOKEN|PROFILES_URL", variable["name"]) or "secretKeyRef" in variable["valueFrom"]


def test_variables_made_from_a_service_would_stop_the_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    """Why service links are off: in a namespace with a Service named `gateway` Kubernetes would set this."""
    monkeypatch.setenv("GATEWAY_PORT", "tcp://10.96.0.10:8000")
    with pytest.raises(ValueError, match="port"):
        settings_class("gateway")()


def test_the_encoder_starts_as_many_threads_as_it_asks_cpus_for() -> None:
    def threads(values: Object) -> list[Object]:
        return [one for one in container(dict(pods(render(values)))["encoder"])["env"] if one["name"] == "ENCODER_THREADS"]

    assert threads({}) == [{"name": "ENCODER_THREADS", "valueFrom": {"resourceFieldRef": {"resource": "requests.cpu"}}}]
    assert threads({"services": {"encoder": {"settings": {"threads": 3}}}}) == []


def test_a_longer_drain_reaches_every_service_and_its_grace_period() -> None:
    found = render(merged(values_of("default"), {"drain": {"delaySeconds": 30, "timeoutSeconds": 60}}))
    for service in SERVICES:
        assert told(found, service)[f"{service.upper()}_DRAIN_DELAY_S"] == "30"
        rest = 30 if service == "retriever" else 10  # it publishes what is left after its last request
        assert dict(pods(found))[service]["spec"]["terminationGracePeriodSeconds"] == 90 + rest
