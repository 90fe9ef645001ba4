"""Fixtures and options that more than one kind of test uses."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from hypothesis import HealthCheck, settings

from servicekit.settings import NO_TELEMETRY

if TYPE_CHECKING:
    from tests.postgresql import Server
    from tests.redis_server import Server as RedisServer
    from tests.workers import Scheduling

    from pipelines.suite import Suite

IMAGES = Path(__file__).parent / "images"
LOCAL_PROCESSES = {
    "test_demo.py": "the demo starts processes of its own",
    "test_expansion.py": "it starts an expander with an LLM of its own",
    "test_evaluate.py": "the evaluation measures the processes it starts",
}
"""Tests that say nothing about the suite in containers, and why."""


os.environ.update(NO_TELEMETRY)  # before any test imports a library that would read it then
for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(threads, "1")  # as the services have it; more threads than cores only wait for each other

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy one is no failure
settings.load_profile("any machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("warmstart")
    group.addoption("--suite", choices=("processes", "compose"), default="processes", help="run the suite as processes or as containers")
    group.addoption("--suite-state", metavar="FOLDER", help="start the processes from a copy of what `make demo ONCE=1` left there")
    group.addoption("--image-prefix", default="warmstart", help="images are <prefix>/<service>:<tag>")
    group.addoption("--image-tag", default="dev", help="the tag of the images")
    group.addoption("--proxy-image", default="", help="the balancer of the rolling restarts")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Tests of images need an engine and built images, so they run only when asked for by `--suite compose`."""
    return True if collection_path == IMAGES and config.getoption("--suite") != "compose" else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    from tests.workers import scheduling

    return scheduling(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # one of several workers
        from tests.workers import long_ones_first

        items[:] = long_ones_first(items)
    if config.getoption("--suite") == "compose":
        for item in items:
            if reason := LOCAL_PROCESSES.get(item.path.name):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def suite(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """The four real services with the sample catalogue imported and trained on, once per test run."""
    from pipelines import demo  # here, so that a unit test of one service does not import the others' needs
    from pipelines.api import Api
    from pipelines.suite import Suite

    folder = tmp_path_factory.mktemp("suite")
    if request.config.getoption("--suite") == "compose":
        from tests.composed import ComposeSuite

        with ComposeSuite(folder, request.config.getoption("--image-prefix"), request.config.getoption("--image-tag")) as composed:
            composed.wait_ready()
            composed.prepare()
            yield composed
        return
    if left := request.config.getoption("--suite-state"):
        shutil.copytree(request.config.invocation_params.dir / left, folder, dirs_exist_ok=True)
    with Suite(folder) as running:
        running.wait_ready()
        with Api(running.gateway_url) as api:
            demo.prepare(api, running)
        yield running


@pytest.fixture
def gateway(suite: Suite) -> Iterator[httpx2.Client]:
    """A client of the suite's gateway."""
    with httpx2.Client(base_url=suite.gateway_url, timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server of this test run; continuous integration has to have one."""
    from tests import postgresql  # here, so that tests of other services need no driver

    if (programs := postgresql.programs()) is None:
        assert os.environ.get("CI") != "true", "PostgreSQL is not installed: apt-get install -y postgresql"
        pytest.skip("PostgreSQL is not installed: apt-get install -y postgresql")
    with postgresql.running(programs) as server:
        yield server


@pytest.fixture(scope="session")
def own_redis() -> Iterator[RedisServer]:
    """A Redis or Valkey server of this test run; continuous integration has to have one."""
    from tests import redis_server  # here, so that tests of other services need no client

    if (program := redis_server.program()) is None:
        assert os.environ.get("CI") != "true", "Redis is not installed: apt-get install -y redis-server"
        pytest.skip("Redis is not installed: apt-get install -y redis-server")
    with redis_server.running(program) as server:
        yield server


@pytest.fixture
def redis_server(own_redis: RedisServer) -> RedisServer:
    """The same, with nothing in it."""
    with own_redis.client() as client:
        client.flushall()
    return own_redis
