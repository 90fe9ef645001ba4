"""The scripts of a release call docker, cosign and helm as they should, by digest.

The three are stand-ins that write down how they were called: there is no registry to push to.
"""

import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DIGEST = f"sha256:{7:064x}"
SERVICES = "gateway encoder expander retriever pipelines"
STAND_INS = {
    "docker": f"""case "$*" in *"imagetools inspect"*) echo '{{"digest": "{DIGEST}"}}' ;; create*) echo container-1 ;; esac""",
    "cosign": "true",
    # Packs as helm does, a folder named like the chart, so that what would be pushed can be looked at.
    "helm": f"""case $1 in package) tar -czf "$8/warmstart-$4.tgz" -C "$(dirname "$2")" warmstart; cp "$8/warmstart-$4.tgz" "$KEPT" ;;
      push) echo "Digest: {DIGEST}" >&2 ;; esac""",
}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool, does in STAND_INS.items():
        (folder / tool).write_text(f'#!/bin/bash\necho "{tool} $*" >>"$CALLS"\n{does}\n')
        (folder / tool).chmod(0o755)
    told = {
        "GITHUB_REPOSITORY": "Owner/Warmstart",
        "GITHUB_REF_NAME": "v1.2.3",
        "GITHUB_SHA": "abc",
        "SERVICES": SERVICES,
        "NEURON": "vllm-neuron",
    }
    paths = {"CALLS": str(tmp_path / "calls"), "KEPT": str(tmp_path / "chart.tgz"), "PATH": f"{folder}:{os.environ['PATH']}"}
    return os.environ | told | paths


def neuron_tags() -> dict[str, str]:
    """Each image of ours that the runtime profiles name for the release v1.2.3, and its base."""
    profiles = json.loads((ROOT / "deploy/helm/warmstart/files/runtime-profiles.json").read_text())["profiles"]
    images = [profile["image"] for profile in profiles.values() if profile["image"]["run"].startswith("<registry>/")]
    return {image["run"].removeprefix("<registry>/").replace("<tag>", "v1.2.3"): image["base_image"] for image in images}


def run(environment: dict[str, str], script: str, *arguments: str) -> tuple[str, list[str]]:
    """What a script wrote to stdout, and what it called; raises `CalledProcessError`."""
    command = ["bash", str(ROOT / ".github" / "release" / script), *arguments]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
    return ended.stdout, Path(environment["CALLS"]).read_text().splitlines()


def test_every_image_is_built_for_one_architecture_with_its_attestations(environment: dict[str, str]) -> None:
    _, calls = run(environment, "build.sh", "arm64", "gateway", "retriever")
    builds = [call for call in calls if call.startswith("docker buildx build")]
    assert ["--build-arg SERVICE=gateway" in builds[0], "--build-arg SERVICE=retriever" in builds[1]] == [True, True]
    assert builds[0].split(" --tag ")[1] == "ghcr.io/owner/warmstart/gateway:v1.2.3-arm64 ."
    assert all("--platform linux/arm64" in build and "--attest type=sbom" in build for build in builds)


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_architectures_are_joined_and_neuron_images_have_one(environment: dict[str, str]) -> None:
    told, calls = run(environment, "join.sh")
    tags = {f"{image}:v1.2.3": 2 for image in SERVICES.split()} | dict.fromkeys(neuron_tags(), 1)
    images = [tag.split(":")[0] for tag in tags]
    assert told == "digests=" + " ".join(f"{image}={DIGEST}" for image in images) + "\n"
    joined = {call.split("--tag ")[1].split()[0].split("/")[-1]: call.count("-a") for call in calls if "imagetools create" in call}
    assert joined == tags


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_vllm_is_released_under_every_tag_that_the_chart_can_name_each_on_its_own_base(environment: dict[str, str]) -> None:
    _, calls = run(environment, "build.sh", "amd64", "vllm-neuron")
    builds = [call for call in calls if call.startswith("docker buildx build")]
    built = {call.split(" --tag ")[1].split()[0].split("/")[-1]: call.split("--build-arg BASE=")[-1].split()[0] for call in builds}
    assert [call.count("BASE=") for call in builds] == [1] * len(builds)
    assert built == {f"{tag}-amd64": base for tag, base in neuron_tags().items()}


def test_images_are_signed_by_digest_and_services_have_their_sbom_attested(environment: dict[str, str]) -> None:
    _, calls = run(environment, "sign.sh", f"gateway={DIGEST}", f"vllm-neuron={DIGEST}")
    signed = [call.split()[-1] for call in calls if call.startswith("cosign sign")]
    attested = [call.split()[-1] for call in calls if call.startswith("cosign attest")]
    assert signed == [f"ghcr.io/owner/warmstart/{image}@{DIGEST}" for image in ("gateway", "vllm-neuron")]
    assert attested == [f"ghcr.io/owner/warmstart/gateway@{DIGEST}"]
    assert any(call.startswith("docker cp container-1:/usr/share/sbom/gateway.cdx.json") for call in calls)


def test_the_chart_that_is_pushed_names_the_digests_and_is_signed(environment: dict[str, str]) -> None:
    before = (ROOT / "deploy/helm/warmstart/values.yaml").read_text()
    _, calls = run(environment, "chart.sh", *(f"{service}={DIGEST}" for service in SERVICES.split()))
    with tarfile.open(environment["KEPT"]) as packed:
        member = packed.extractfile("warmstart/values.yaml")
        assert member
        values = yaml.safe_load(member.read())
    assert values["image"]["digests"] == dict.fromkeys(SERVICES.split(), DIGEST)
    assert values["image"]["registry"] == "ghcr.io/owner/warmstart"
    assert any("--version 1.2.3 --app-version v1.2.3" in call for call in calls)
    assert calls[-1] == f"cosign sign --yes ghcr.io/owner/warmstart/charts/warmstart@{DIGEST}"
    assert (ROOT / "deploy/helm/warmstart/values.yaml").read_text() == before


def test_a_chart_is_not_pushed_when_a_digest_is_missing(environment: dict[str, str]) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        run(environment, "chart.sh", f"gateway={DIGEST}")
    assert not Path(environment["CALLS"]).exists()
