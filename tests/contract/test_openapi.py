"""The committed OpenAPI descriptions are what the services serve, so that a change of the API shows in review."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
SPEC = importlib.util.spec_from_file_location("write_openapi", HERE / "write_openapi.py")
assert SPEC
assert SPEC.loader
write_openapi = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(write_openapi)


@pytest.fixture(params=write_openapi.SERVICES)
def description(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return request.param, write_openapi.described(request.param)


def test_the_committed_description_is_the_served_one(description: tuple[str, dict[str, Any]]) -> None:
    service, served = description
    assert write_openapi.text(served) == (HERE / "openapi" / f"{service}.json").read_text(), "run `make openapi` and review the difference"


def test_every_operation_is_described_and_answers_errors_as_problems(description: tuple[str, dict[str, Any]]) -> None:
    _, served = description
    operations = [operation for path in served["paths"].values() for operation in path.values()]
    assert operations
    for operation in operations:
        assert operation["description"]
        assert {"4XX", "5XX"} <= set(operation["responses"])
