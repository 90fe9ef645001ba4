"""What is in the images and how they run: small, without tools, as nobody in particular, and with a bill of materials."""

import gzip
import json
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import Marker
from tests.composed import ROOT, ComposeSuite, docker

from pipelines.suite import SERVICES

Record = Callable[[str, object], None]
IMAGES = (*SERVICES, "pipelines")
MEGABYTE = 10**6
LARGEST, LARGEST_GATEWAY_COMPRESSED = 450 * MEGABYTE, 250 * MEGABYTE
TOOLS = ("pip", "pip3", "uv", "gcc", "g++", "cc", "clang", "make", "ld", "as", "curl", "wget", "git")
MARKERS = """
import json, os, platform, sys
print(json.dumps({"python_version": "%d.%d" % sys.version_info[:2], "python_full_version": platform.python_version(), "os_name": os.name,
    "sys_platform": sys.platform, "platform_system": platform.system(), "platform_machine": platform.machine(),
    "implementation_name": sys.implementation.name, "platform_python_implementation": platform.python_implementation(), "extra": ""}))
"""
WRITABLE = """
import json, os, sys
def writable(folder):
    try:
        with open(os.path.join(folder, "probe"), "w"): return True
    except OSError: return False
print(json.dumps({folder: writable(folder) for folder in ("/", "/etc", "/opt/warmstart", "/state", "/tmp")}))
"""
TOOLS_FOUND = (
    "import importlib.util as u, shutil, sys; print(*filter(shutil.which, sys.argv[1:]), *filter(u.find_spec, ['pip', 'setuptools']))"
)


@pytest.fixture(params=IMAGES)
def service(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def image(service: str, request: pytest.FixtureRequest) -> str:
    return f"{request.config.getoption('--image-prefix')}/{service}:{request.config.getoption('--image-tag')}"


def python(image: str, script: str, *arguments: str) -> str:
    """What the script printed in a container without network, with nothing writable but the volume and /tmp."""
    hardened = ("--rm", "--network", "none", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
    return docker("run", *hardened, "--entrypoint", "python", image, "-c", script, *arguments)


def inspected(image: str) -> dict[str, Any]:
    return dict(json.loads(docker("image", "inspect", image))[0])


def test_an_image_is_no_larger_than_promised(image: str, record_property: Record) -> None:
    size = inspected(image)["Size"]
    print(f"{image}: {size / MEGABYTE:.0f} MB")
    record_property("bytes", size)
    assert size <= LARGEST


@pytest.mark.parametrize("service", ["gateway"])
def test_the_gateway_is_pulled_in_no_more_than_promised(image: str, tmp_path: Path, record_property: Record) -> None:
    packed = tmp_path / "image.tar.gz"
    with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saving, gzip.open(packed, "wb", compresslevel=6) as file:
        assert saving.stdout
        while chunk := saving.stdout.read(2**20):
            file.write(chunk)
    assert saving.returncode == 0
    size = packed.stat().st_size
    print(f"{image}: {size / MEGABYTE:.0f} MB compressed")
    record_property("compressed_bytes", size)
    assert MEGABYTE < size <= LARGEST_GATEWAY_COMPRESSED


def test_an_image_runs_as_nobody_in_particular_and_writes_only_its_state(image: str) -> None:
    assert inspected(image)["Config"]["User"] == "10001:10001"
    assert python(image, "import os; print(os.getuid(), os.getgid(), os.getgroups())") == "10001 10001 [10001]"
    assert json.loads(python(image, WRITABLE)) == {"/": False, "/etc": False, "/opt/warmstart": False, "/state": True, "/tmp": True}


def test_an_image_holds_nothing_to_build_or_install_with(image: str) -> None:
    assert python(image, TOOLS_FOUND, *TOOLS) == ""


def test_an_image_names_what_it_is_and_gets_signals_itself(image: str, service: str) -> None:
    config = inspected(image)["Config"]
    assert config["Entrypoint"] == ["python", "-m", service]
    assert config["StopSignal"] == "SIGTERM"
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()}
    assert labels["title"] == f"warmstart-{service}"
    assert labels["licenses"] == "Apache-2.0"
    assert labels["base.name"]


def locked(service: str, environment: dict[str, str]) -> set[tuple[str, str]]:
    """Name and version of each package that the service's lock installs where markers have these values."""
    more = {"encoder": ["alone.txt"], "retriever": ["milvus.txt"]}
    files = [f"{service}.txt", *more.get(service, [])]
    lines = [line for file in files for line in (ROOT / "requirements" / file).read_text().splitlines()]
    pinned = [found for line in lines if (found := re.match(r"([\w.-]+)==([\w.+!-]+)(?:\s*;\s*(.*?))?\s*\\?$", line))]
    assert pinned
    return {
        (name.lower(), version)
        for name, version, marker in (p.groups() for p in pinned)
        if not marker or Marker(marker).evaluate(environment)
    }


def test_the_bill_of_materials_names_every_locked_package(image: str, service: str) -> None:
    bill = json.loads(python(image, f"print(open('/usr/share/sbom/{service}.cdx.json').read())"))
    assert bill["bomFormat"] == "CycloneDX"
    named = {(part["name"].lower().replace("_", "-").replace(".", "-"), part.get("version", "")) for part in bill["components"]}
    wanted = locked(service, json.loads(python(image, MARKERS)))
    assert wanted <= named
    assert {name for name, _ in named - wanted} == {"warmstart-shared", f"warmstart-{service}"}


@pytest.mark.parametrize("service", SERVICES)
def test_a_container_of_the_suite_is_confined(suite: ComposeSuite, service: str) -> None:
    host = json.loads(docker("inspect", suite.id(service)))[0]["HostConfig"]
    assert host["ReadonlyRootfs"]
    assert not host["Privileged"]
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["Memory"] > 0
    assert host["PidsLimit"] > 0


def test_the_encoder_reports_nothing_to_the_maker_of_its_runtime(suite: ComposeSuite) -> None:
    # Where it does, ONNX Runtime complains at start that a read-only container has no place for its device identifier.
    assert "model_opened" in (log := suite.log_text("encoder"))
    assert "telemetry" not in log


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_ends_cleanly_on_sigterm_and_is_ready_again(suite: ComposeSuite, service: str, record_property: Record) -> None:
    suite.signal(service, signal.SIGTERM)
    assert suite.wait(service) == 0
    started = time.monotonic()
    suite.start(service)
    suite.wait_ready(service)
    seconds = time.monotonic() - started
    print(f"{service}: ready {seconds:.2f} s after the start of its container")
    record_property("start_to_ready_s", round(seconds, 2))
