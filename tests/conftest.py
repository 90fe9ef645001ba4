"""Fixtures that more than one kind of test uses."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx2
import pytest

if TYPE_CHECKING:
    from tests.postgresql import Server

    from pipelines.suite import Suite


@pytest.fixture(scope="session")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """The four real services with the sample catalogue imported and trained on, once per test run."""
    from pipelines import demo  # here, so that a unit test of one service does not import the others' needs
    from pipelines.api import Api
    from pipelines.suite import Suite

    with Suite(tmp_path_factory.mktemp("suite")) as running:
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
