"""T5's relative positions and feed-forward options are read as transformers reads them."""

from typing import Any

import numpy as np
import pytest

from encoder.backends.t5 import buckets, feed_forward
from encoder.errors import ModelUnsupported


@pytest.mark.parametrize(("count", "reach"), [(32, 128), (8, 20), (64, 256)])
def test_every_distance_falls_into_the_bucket_of_transformers(count: int, reach: int, goldens: dict[str, Any]) -> None:
    assert buckets(np.arange(-140, 141), count, reach).tolist() == goldens["buckets"][f"{count}/{reach}"]


def test_all_distances_beyond_the_reach_share_a_bucket() -> None:
    assert set(buckets(np.array([128, 129, 5_000]), 32, 128)) == {31}
    assert set(buckets(np.array([-128, -129, -5_000]), 32, 128)) == {15}


@pytest.mark.parametrize(
    ("option", "expected"),
    [("relu", (False, "relu")), ("gated-gelu", (True, "gelu_new")), ("gated-silu", (True, "silu")), ("gelu", (False, "gelu"))],
)
def test_feed_forward_options_are_understood(option: str, expected: tuple[bool, str]) -> None:
    assert feed_forward({"feed_forward_proj": option}) == expected


def test_a_config_without_the_option_is_t5_v1_0() -> None:
    assert feed_forward({}) == (False, "relu")


def test_an_unknown_feed_forward_option_is_refused() -> None:
    with pytest.raises(ModelUnsupported, match="fancy-gelu-new"):
        feed_forward({"feed_forward_proj": "fancy-gelu-new"})
