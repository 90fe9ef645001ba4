"""The split of the shipped sample: nothing that is measured is in the training set."""

import pytest

from pipelines.evaluate import datasets
from pipelines.evaluate.datasets import HeldOut


@pytest.fixture(scope="module")
def split() -> HeldOut:
    return datasets.split_of_sample(users=200)


def test_no_event_of_a_cold_user_or_a_cold_item_is_trained_on(split: HeldOut) -> None:
    assert len(split.users) == 200
    assert split.cold_items
    for user, item in split.training:
        assert user not in split.users
        assert item not in split.cold_items


def test_every_cold_user_has_enough_books(split: HeldOut) -> None:
    assert min(map(len, split.users.values())) >= datasets.MIN_BOOKS


def test_cold_targets_are_cold_and_profiles_are_not(split: HeldOut) -> None:
    assert split.profiles.keys() == split.cold_targets.keys()
    for user, targets in split.cold_targets.items():
        assert targets
        assert targets <= split.cold_items
        assert split.profiles[user]
        assert not set(split.profiles[user]) & split.cold_items


def test_the_split_is_the_same_every_time(split: HeldOut) -> None:
    assert datasets.split_of_sample(users=200) == split
