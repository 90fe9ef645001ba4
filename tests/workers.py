"""Which tests share a worker when several run at once, and which begin. Knows nothing of what they test.

A file's tests stay together, so that its fixtures are made once. So do all that ask the running suite, which takes a minute to make. Those
that kill and damage are long and share nothing: each goes where there is room. The long ones begin, so that no worker waits for another in
the end.
"""

from collections.abc import Sequence
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

SUITE = ("tests/e2e/", "tests/browser/", "tests/deploy/test_cluster_access.py")
ONE_BY_ONE = "tests/chaos/"
FIRST = (*SUITE, ONE_BY_ONE, "tests/integration/")


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Groups of tests in the order in which they were collected."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(SUITE):
            return "the suite"
        return nodeid if nodeid.startswith(ONE_BY_ONE) else nodeid.partition("::")[0]


def scheduling(config: pytest.Config, log: Any) -> Scheduling:
    config.option.loadscopereorder = False  # it would begin with the files of most tests, which are short ones
    return Scheduling(config, log)


def long_ones_first(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """Otherwise in the order in which they come."""

    def rank(item: pytest.Item) -> int:
        return next((place for place, folder in enumerate(FIRST) if item.nodeid.startswith(folder)), len(FIRST))

    return sorted(items, key=rank)
