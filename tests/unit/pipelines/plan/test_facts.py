"""The facts a plan starts from: provenance, and the formulas of a node and a model."""

import pytest

from pipelines.plan import facts

KINDS = {"measured here", "published", "assumption"}


def test_every_input_says_where_it_comes_from_and_lies_in_its_own_range() -> None:
    assert facts.inputs()
    for name, row in facts.FACTS["inputs"].items():
        assert row["kind"] in KINDS, name
        assert row["unit"], name
        assert row["source"], name
        assert row["minimum"] <= row["value"] <= row["maximum"], name


def test_what_was_measured_names_command_machine_and_date() -> None:
    measured = [row for row in facts.FACTS["inputs"].values() if row["kind"] == "measured here" and "ms" in row["unit"]]
    assert len(measured) == 5
    assert all("make bench" in row["source"] and "2-core" in row["source"] and "2026-" in row["source"] for row in measured)


def test_a_known_price_has_a_date_and_a_source_and_an_unknown_one_has_neither_number_nor_date() -> None:
    for instance in facts.instances().values():
        assert instance.price_source
        assert bool(instance.price_date) == bool(instance.usd_per_hour), instance.name


@pytest.mark.parametrize(
    ("name", "millicpu", "mib"), [("trn1.2xlarge", 7910, 29317), ("trn1.32xlarge", None, 481894), ("m7i.xlarge", 3920, 14162)]
)
def test_what_pods_get_of_a_node_is_what_karpenter_publishes(name: str, millicpu: int | None, mib: int) -> None:
    """Source: Karpenter's instance type reference; m7i.xlarge has the row of every type with 4 CPUs, 16 GiB and 58 pods."""
    instance = facts.instances()[name]
    assert instance.mib == mib
    assert millicpu is None or round(instance.cpu * 1000) == millicpu


def test_keys_and_values_of_llama_8b_take_128_kib_a_token() -> None:
    """2 x 32 layers x 8 heads x 128 numbers x 2 bytes."""
    model = facts.model("llama-3.1-8b")
    assert model.device_gb(1, 1, 1) - model.weight_gb == pytest.approx(131_072 / 1e9)
    assert model.weight_gb == pytest.approx(16.06)


def test_more_shards_than_heads_hold_each_head_more_than_once() -> None:
    model = facts.model("llama-3.1-8b")
    keys_and_values = [shards * model.device_gb(shards, 2048, 8) - model.weight_gb for shards in (1, 8, 32)]
    assert keys_and_values[0] == pytest.approx(keys_and_values[1])
    assert keys_and_values[2] == pytest.approx(4 * keys_and_values[0])
