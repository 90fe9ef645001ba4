"""An install of the dev profile serves: every pod ready, `helm test` passes, the catalogue takes items and recommends."""

import json

import pytest
from tests.e2e.cluster.installed import Installed
from tests.e2e.cluster.workloads import SERVICES, is_ready

pytestmark = pytest.mark.timeout(1800)

BOOKS = [
    {"id": "cluster-1", "title": "The Lighthouse Keeper's Ledger", "attributes": {"genres": ["mystery"], "year": 1999}},
    {"id": "cluster-2", "title": "Rain Over the Orchard", "attributes": {"genres": ["romance"], "year": 2004}},
]


@pytest.mark.parametrize("service", SERVICES)
def test_every_pod_of_a_service_is_ready(settled: Installed, service: str) -> None:
    pods = settled.workloads.pods(service)
    assert len(pods) == settled.workloads.workload(service)["spec"]["replicas"] >= 1
    assert all(is_ready(pod) for pod in pods)


def test_helm_test_passes(settled: Installed) -> None:
    assert settled.release.test().strip()


def test_a_recommendation_comes_through_the_service_and_nothing_was_substituted(settled: Installed) -> None:
    asked = {"interests": ["detectives in Victorian London"], "k": 5, "deadline_ms": 10_000}
    (answer,) = settled.inside.send({"method": "POST", "path": "/v1/recommendations", "json": asked})
    assert answer["status"] == 200, answer["text"]
    told = json.loads(answer["text"])
    assert len(told["items"]) == 5
    assert told["degraded"] == []


def test_imported_items_are_found_again_and_refused_rows_say_why(settled: Installed) -> None:
    lines = "".join(json.dumps(book) + "\n" for book in BOOKS) + '{"title": "no id"}\n'
    deletes = [{"method": "DELETE", "path": f"/v1/items/{book['id']}"} for book in BOOKS]
    imported, read, found, *deleted = settled.inside.send(
        {"method": "POST", "path": "/v1/items", "text": lines, "type": "application/x-ndjson"},
        {"method": "GET", "path": "/v1/items/cluster-1"},
        {"method": "GET", "path": "/v1/items?query=Rain%20Over%20the%20Orchard"},
        *deletes,
    )
    assert [json.loads(line)["status"] for line in imported["text"].splitlines()] == ["stored", "stored", "refused"]
    assert json.loads(read["text"])["title"] == BOOKS[0]["title"]
    assert json.loads(found["text"])["items"][0]["id"] == "cluster-2"
    assert [answer["status"] for answer in deleted] == [204, 204]
