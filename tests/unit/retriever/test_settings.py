import pytest
from pydantic import ValidationError

from retriever.segments.kinds import KINDS
from retriever.settings import Settings


def test_the_first_space_can_be_of_every_kind_that_there_is_and_of_no_other() -> None:
    pattern = Settings.model_json_schema()["properties"]["index_kind"]["pattern"]
    assert set(pattern.strip("^$()").split("|")) == set(KINDS)
    assert {Settings(index_kind=kind).index_kind for kind in KINDS} == set(KINDS)
    with pytest.raises(ValidationError, match="index_kind"):
        Settings(index_kind="hnsw-sq4")
