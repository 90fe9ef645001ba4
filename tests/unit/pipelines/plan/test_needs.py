"""From a load to pods, against cases computed by hand."""

import pytest

from pipelines.plan import facts, needs, profiles
from pipelines.plan.asked import Asked, asked
from pipelines.plan.facts import PlanRefused
from pipelines.plan.profiles import Server


def server_of(question: Asked) -> Server:
    row = profiles.server(profiles.read(), question.profile, facts.model(question.model), question.tensor_parallel_size, None, None, 0.9)
    assert row
    return row


def test_calls_are_the_share_that_asks_and_is_not_cached() -> None:
    assert needs.llm_calls(asked({"requests_per_second": 50, "llm_share": 0.3, "cache_hit_rate": 0.8})) == pytest.approx(3)


def test_replicas_of_the_llm_follow_littles_law() -> None:
    """3 calls/s x 2.48 s = 7.44 in flight; 8 sequences x 0.6 = 4.8 a replica; 2 are needed and 1 is spare."""
    question = asked({"requests_per_second": 50, "llm_share": 0.3, "cache_hit_rate": 0.8})
    server = server_of(question)
    took = needs.latency(question, server, facts.model(question.model), question.instances["trn1.2xlarge"])
    assert (took.ms, took.kind) == (2480, "published")
    assert needs.llm_pods(question, server, took).replicas == 3


@pytest.mark.parametrize("nobody", [{"llm_share": 0.0}, {"cache_hit_rate": 1.0}])
def test_nobody_who_calls_means_no_replica_not_even_a_spare_one(nobody: dict[str, float]) -> None:
    question = asked(nobody)
    assert needs.llm_pods(question, server_of(question), needs.Latency(1000, "given", "")).replicas == 0


def test_a_published_latency_is_scaled_by_the_weights_and_then_called_an_assumption() -> None:
    question = asked(model="tinyllama-1.1b")
    took = needs.latency(question, server_of(question), facts.model("tinyllama-1.1b"), question.instances["trn1.2xlarge"])
    assert took.kind == "assumption"
    assert took.ms == pytest.approx(2480 * 1.1 / 8.03)


def test_where_nothing_is_published_the_weights_are_read_once_a_token() -> None:
    """120 tokens x 16.06 GB / (300 GB/s x 0.6) = 10.7 s."""
    question = asked(profile="gpu")
    took = needs.latency(question, server_of(question), facts.model(question.model), question.instances["g6.xlarge"])
    assert (took.kind, round(took.ms)) == ("assumption", 10707)


def test_a_latency_that_was_given_wins() -> None:
    question = asked(llm_latency_ms=700)
    took = needs.latency(question, server_of(question), facts.model(question.model), question.instances["trn1.2xlarge"])
    assert (took.ms, took.kind) == (700, "given")


def test_services_are_counted_by_cpu_time() -> None:
    """100/s x 4.4 ms = 0.44 CPUs; a pod of 0.5 gives 0.3; 2 and 1 spare."""
    pods = {pods.name: pods for pods in needs.service_pods(asked({"requests_per_second": 100, "gateway_cpu_ms": 4.4}))}
    assert pods["gateway"].replicas == 3
    assert pods["encoder"].replicas == 2


def test_memory_of_the_retriever_grows_with_items_and_dimension() -> None:
    """1,048,576 items x (384 x 4 x 2 + 2,400) bytes = 5,472 MiB on top of the chart's 1,024."""
    retriever = needs.service_pods(asked({"items": 2**20, "dimension": 384, "requests_per_second": 1}))[-1]
    assert (retriever.name, retriever.replicas, retriever.mib) == ("retriever", 1, 1024 + 5472)


def test_time_of_the_retriever_grows_with_items_beyond_the_measured() -> None:
    """50/s x 8.6 ms x 3 = 1.29 CPUs; at 60 % that is 2.15, so 3."""
    few, many = (needs.service_pods(asked({"items": 6219 * times}))[-1].cpu for times in (0.5, 3))
    assert (few, many) == (1, 3)


def test_more_than_one_retriever_can_do_is_refused_with_the_remedy() -> None:
    with pytest.raises(PlanRefused, match=r"--requests-per-second 2000 over --items 10000 .* --retriever-cpu-ms"):
        needs.service_pods(asked({"requests_per_second": 2000}))
