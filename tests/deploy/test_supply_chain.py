"""What is released is what was built: pinned actions, few rights, scanned, signed, named by digest; and nothing reports home."""

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "warmstart"
RELEASE = ROOT / ".github" / "release"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
WRITES = {"build": {"packages"}, "build-neuron": {"packages"}, "sign": {"packages", "id-token"}, "chart": {"packages", "id-token"}}
"""Which jobs may write what; every other job reads."""
REPORTING_OFF = {"VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
"""vLLM's usage statistics; every call of the hub's client, its telemetry included."""


def workflow(name: str) -> dict[Any, Any]:
    return dict(yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text()))


def all_jobs() -> dict[str, dict[str, Any]]:
    return {name: job for path in WORKFLOWS for name, job in workflow(path.name)["jobs"].items()}


def services_of_the_dockerfile() -> list[str]:
    """The stages that are services: those made from `runtime`."""
    return re.findall(r"^FROM runtime AS (\w+)$", (ROOT / "docker" / "service.Dockerfile").read_text(), re.MULTILINE)


def pinning() -> Any:
    spec = importlib.util.spec_from_file_location("pin_digests", RELEASE / "pin_digests.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_are_workflows_for_changes_and_for_releases() -> None:
    assert [path.name for path in WORKFLOWS] == ["ci.yaml", "release.yaml"]
    runs = [step.get("run") for job in workflow("ci.yaml")["jobs"].values() for step in job["steps"]]
    assert "bash .ci/run" in runs
    assert "make kind-test" in runs


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_by_commit_and_says_its_version(path: Path) -> None:
    uses = [line.strip() for line in path.read_text().splitlines() if re.match(r"\s*(- )?uses:", line)]
    assert uses
    assert [line for line in uses if not re.fullmatch(r"(- )?uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_no_right_is_given_to_a_whole_workflow_nor_to_strangers(path: Path) -> None:
    told = workflow(path.name)
    triggers = told[True]  # YAML 1.1 reads the key `on` as a boolean
    assert told["permissions"] == {}
    assert "pull_request_target" not in triggers
    assert "workflow_run" not in triggers


@pytest.mark.parametrize(("name", "job"), all_jobs().items(), ids=all_jobs())
def test_every_job_has_only_the_rights_it_needs_and_a_time_limit(name: str, job: dict[str, Any]) -> None:
    assert {right for right, access in job["permissions"].items() if access == "write"} == WRITES.get(name, set())
    assert set(job["permissions"].values()) <= {"read", "write"}
    assert job["timeout-minutes"] <= 120
    checkouts = [step for step in job["steps"] if "checkout" in step.get("uses", "")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


@pytest.mark.parametrize(("name", "job"), all_jobs().items(), ids=all_jobs())
def test_no_text_of_a_stranger_is_put_into_a_script(name: str, job: dict[str, Any]) -> None:
    scripts = [step["run"] for step in job["steps"] if "run" in step]
    assert not [script for script in scripts if re.search(r"\$\{\{\s*github\.(event|head_ref|ref_name)", script)]


def test_what_is_built_scanned_and_named_by_digest_is_what_the_dockerfile_makes() -> None:
    release = workflow("release.yaml")
    services = services_of_the_dockerfile()
    assert len(services) == 5
    assert release["env"]["SERVICES"].split() == services
    assert release["jobs"]["scan"]["strategy"]["matrix"]["service"] == services
    assert list(yaml.safe_load((CHART / "values.yaml").read_text())["image"]["digests"]) == services


def test_the_neuron_images_of_a_release_are_those_with_a_dockerfile() -> None:
    files = {path.name.removesuffix(".Dockerfile") for path in (ROOT / "docker").glob("*.Dockerfile")} - {"service"}
    assert files
    assert set(workflow("release.yaml")["env"]["NEURON"].split()) == files


def test_nothing_is_signed_that_was_not_scanned_and_the_chart_comes_last() -> None:
    jobs = workflow("release.yaml")["jobs"]
    (scan,) = jobs["scan"]["steps"]
    assert scan["with"]["severity"] == "CRITICAL,HIGH"
    assert (scan["with"]["exit-code"], scan["with"]["ignore-unfixed"]) == ("1", True)
    assert "continue-on-error" not in str(jobs)
    assert "scan" in jobs["sign"]["needs"]
    assert jobs["chart"]["needs"] == "sign"


def test_every_image_has_an_sbom_and_provenance_and_is_signed_by_digest() -> None:
    built, signed = (RELEASE / "build.sh").read_text(), (RELEASE / "sign.sh").read_text()
    assert "--attest type=sbom" in built
    assert "--attest type=provenance,mode=max" in built
    assert "name=ghcr.io/${GITHUB_REPOSITORY,,}/$image@${pair#*=}" in signed
    assert "cosign sign --yes --recursive" in signed
    assert "--key" not in signed


def test_a_released_chart_renders_every_image_by_its_digest(tmp_path: Path) -> None:
    digests = {service: f"sha256:{number:064x}" for number, service in enumerate(services_of_the_dockerfile(), 1)}
    pinned = pinning().pin((CHART / "values.yaml").read_text(), "ghcr.io/owner/warmstart", digests | {"vllm-neuron": f"sha256:{9:064x}"})
    values = yaml.safe_load(pinned)
    before = yaml.safe_load((CHART / "values.yaml").read_text())
    assert values["image"]["digests"] == digests
    assert values | {"image": before["image"]} == before | {"image": before["image"]}
    with helm_python.Chart.load(CHART) as chart:
        rendered = "\n".join(chart.render({"image": values["image"]}, name="warmstart", namespace="ours").values())
    ours = set(re.findall(r"ghcr\.io/owner/warmstart/\S+", rendered))
    assert ours <= {f"ghcr.io/owner/warmstart/{service}@{digest}" for service, digest in digests.items()}
    assert len(ours) >= 4


@pytest.mark.parametrize(
    ("values", "digests"),
    [
        ("nothing", {"gateway": f"sha256:{1:064x}"}),
        ('  registry: a\n  digests: {gateway: "", encoder: ""}\n', {"gateway": f"sha256:{1:064x}"}),
        ('  registry: a\n  digests: {gateway: ""}\n', {"gateway": "sha256:short"}),
        ('  digests: {gateway: ""}\n', {"gateway": f"sha256:{1:064x}"}),
    ],
)
def test_a_release_that_can_not_be_pinned_stops(values: str, digests: dict[str, str]) -> None:
    module = pinning()
    with pytest.raises(module.NotPinned):
        module.pin(values, "registry", digests)


def test_no_model_server_reports_home_nor_asks_a_hub() -> None:
    profiles = json.loads((CHART / "files" / "runtime-profiles.json").read_text())["profiles"]
    run_by_us = {name: profile["environment"] for name, profile in profiles.items() if name != "external"}
    assert len(run_by_us) >= 4
    assert [name for name, given in run_by_us.items() if not given.items() >= REPORTING_OFF.items()] == []


def test_our_own_code_has_no_library_that_reports_home() -> None:
    not_ours = ("test.txt", "torch.txt", "vllm.txt")  # the last is vLLM's own environment, which tests start with reporting off
    pinned = "\n".join(path.read_text() for path in (ROOT / "requirements").glob("*.txt") if path.name not in not_ours)
    assert re.findall(r"^(sentry-sdk|posthog|segment-analytics|mixpanel|scarf|ddtrace|newrelic)\b", pinned, re.MULTILINE) == []


@pytest.mark.parametrize("path", ["SECURITY.md", "docs/air-gapped.md"])
def test_the_documents_name_every_image_and_the_workflow_that_signs(path: str) -> None:
    text = (ROOT / path).read_text()
    assert [image for image in services_of_the_dockerfile() if image not in text] == []
    assert "vllm-neuron" in text
    assert "release.yaml@refs/tags" in (ROOT / "SECURITY.md").read_text()
    assert "cosign verify" in text
