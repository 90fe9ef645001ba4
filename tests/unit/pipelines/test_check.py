"""The check passes only where all four services answer and nothing was substituted."""

import socket

import pytest
from tests.unit.pipelines.suites import SmallSuite

from pipelines import check, readiness
from pipelines.api import Api, ApiRefused


def filled(suite: SmallSuite) -> SmallSuite:
    suite.import_rows("/v1/items", [{"id": "1", "title": "Dune"}])
    return suite


def test_a_suite_that_recommends_passes(capsys: pytest.CaptureFixture[str]) -> None:
    check.run(filled(SmallSuite()), wait_s=0)
    assert "recommends: Dune" in capsys.readouterr().out


def test_an_empty_catalogue_is_no_fault(capsys: pytest.CaptureFixture[str]) -> None:
    check.run(SmallSuite(degraded="expander"), wait_s=0)  # no topics yet
    assert "the catalogue is empty" in capsys.readouterr().out


@pytest.mark.parametrize("stage", ["encoder", "expander"])
def test_a_substitute_fails_and_is_named(stage: str) -> None:
    with pytest.raises(check.CheckFailed, match=rf"degraded: {stage} \(popular\)"):
        check.run(filled(SmallSuite(degraded=stage)), wait_s=0.05)


def test_an_empty_catalogue_excuses_no_other_service() -> None:
    with pytest.raises(check.CheckFailed, match="degraded: encoder"):
        check.run(SmallSuite(degraded="encoder"), wait_s=0)


def test_a_full_catalogue_without_recommendations_fails() -> None:
    class Mute(SmallSuite):
        def recommend(self, request: object) -> dict[str, object]:
            return {"items": [], "degraded": []}

    with pytest.raises(check.CheckFailed, match="nothing recommended out of 1 items"):
        check.run(filled(Mute()), wait_s=0)


def test_a_refused_request_fails_with_its_reason() -> None:
    class Refusing(SmallSuite):
        def recommend(self, request: object) -> dict[str, object]:
            raise ApiRefused("POST /v1/recommendations: 503 nothing to answer")

    with pytest.raises(check.CheckFailed, match="503 nothing to answer"):
        check.run(filled(Refusing()), wait_s=0)


@pytest.mark.parametrize("service", ["encoder", "expander"])
def test_a_service_that_does_not_answer_is_named(service: str) -> None:
    with pytest.raises(readiness.NotReady, match=f"no answer from {service}"):
        check.run(SmallSuite(silent=service), wait_s=0)


def test_a_gateway_that_is_not_there_is_named() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
    with Api(url) as api, pytest.raises(readiness.NotReady, match=url):
        check.run(api, wait_s=0)
