"""A rolling restart in compose: two of each stateless service behind a balancer, one retriever, and callers that never wait."""

from collections.abc import Callable, Iterator

import pytest
from tests.composed import Balancer, ComposeSuite, docker
from tests.load import Load

REPLICAS = {
    "gateway": ("gateway", "gateway-b"),
    "encoder": ("encoder", "encoder-b"),
    "expander": ("expander", "expander-b"),
    "retriever": ("retriever",),
}


OFFICIAL, LOCAL = "haproxy:3.0-alpine", "warmstart/haproxy:bookworm"
"""The balancer of the compose file, and the one that docker/base.sh makes where no registry is reachable."""


def proxy_image(asked: str) -> str:
    return asked or (LOCAL if docker("images", "-q", LOCAL) else OFFICIAL)


@pytest.fixture(scope="module")
def balancer(suite: ComposeSuite, request: pytest.FixtureRequest) -> Iterator[Balancer]:
    with suite.rolling(proxy_image(request.config.getoption("--proxy-image"))) as running:
        yield running


@pytest.mark.parametrize("service", REPLICAS)
def test_a_rolling_restart_of_each_service_fails_no_request(
    suite: ComposeSuite, balancer: Balancer, service: str, record_property: Callable[[str, object], None]
) -> None:
    with Load(balancer.url, workers=4) as load:
        load.wait_answered(20)
        for replica in REPLICAS[service]:
            docker("restart", "-t", "30", suite.id(replica))
            suite.wait_ready("retriever") if service == "retriever" else balancer.wait_up()
            load.wait_answered(20)
    print(f"{service}: {load.answered} answered, {load.degraded} of them degraded, {len(load.failures)} failed")
    record_property("answered", load.answered)
    record_property("degraded", load.degraded)
    assert load.failures == []
