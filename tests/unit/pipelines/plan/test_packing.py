"""Pods onto nodes."""

from hypothesis import given
from hypothesis import strategies as st

from pipelines.plan import facts, packing
from pipelines.plan.needs import Pods

SMALL = facts.instances()["m7i.xlarge"]
LARGE = facts.instances()["trn1.32xlarge"]


def test_four_pods_of_one_cpu_need_two_nodes_of_which_each_gives_less_than_four() -> None:
    """3.92 CPUs less 0.35 for DaemonSets hold 3."""
    assert packing.mixed([Pods("a", 3, 1, 100)], SMALL, 0.35, 640) == 1
    assert packing.mixed([Pods("a", 4, 1, 100)], SMALL, 0.35, 640) == 2


def test_small_pods_fill_the_room_that_large_ones_leave() -> None:
    assert packing.mixed([Pods("small", 2, 1.5, 100), Pods("large", 2, 2, 100)], SMALL, 0.35, 640) == 2


def test_memory_counts_as_much_as_cpu() -> None:
    assert packing.mixed([Pods("a", 2, 0.1, 8000)], SMALL, 0.35, 640) == 2


def test_a_pod_larger_than_a_node_fits_none() -> None:
    assert packing.mixed([Pods("a", 1, 4, 100)], SMALL, 0.35, 640) is None
    assert packing.equal(Pods("a", 1, 6, 20_000, 1), SMALL, 0.35, 640) is None


def test_devices_limit_pods_on_a_node() -> None:
    assert packing.equal(Pods("llm", 4, 28, 112 * 1024, 4), LARGE, 0.35, 640) == 1
    assert packing.equal(Pods("llm", 5, 28, 112 * 1024, 4), LARGE, 0.35, 640) == 2


@given(st.lists(st.tuples(st.integers(1, 9), st.floats(0.05, 3.5), st.integers(50, 13_000)), min_size=1, max_size=5))
def test_nodes_are_never_fewer_than_the_sums_need_nor_more_than_one_each(kinds: list[tuple[int, float, int]]) -> None:
    pods = [Pods(str(number), *kind) for number, kind in enumerate(kinds)]
    count = packing.mixed(pods, SMALL, 0.35, 640)
    assert count is not None
    assert count >= sum(p.replicas * p.cpu for p in pods) / (SMALL.cpu - 0.35) - 1e-6
    assert count >= sum(p.replicas * p.mib for p in pods) / (SMALL.mib - 640) - 1e-6
    assert count <= sum(p.replicas for p in pods)
