"""How a request says whether the LLM is waited for, what the expander is told of it, and that an erasure reaches it."""

import pytest
from tests.fakes.services import Behaviour
from tests.unit.gateway.conftest import House, stages

from contracts.expander import CALLER_HEADER


async def test_by_default_the_llm_is_not_waited_for(house: House) -> None:
    await house.recommend(interests=["space"])
    asked, headers = house.expander.asked[-1]
    assert (asked.mode, asked.interests, asked.user_id, asked.locale) == ("async", ("space",), None, None)
    assert CALLER_HEADER not in headers


@pytest.mark.parametrize("mode", ["wait", "async", "off"])
async def test_the_mode_of_a_request_is_the_expanders(house: House, mode: str) -> None:
    await house.recommend(interests=["space"], expansion=mode)
    assert house.expander.asked[-1][0].mode == mode


async def test_an_unknown_mode_or_locale_is_refused_with_its_place(house: House) -> None:
    for body, field in (({"expansion": "later"}, "expansion"), ({"locale": "klingon!"}, "locale")):
        answer = await house.http.post("/v1/recommendations", json={"interests": ["space"], **body})
        assert answer.status_code == 422
        assert answer.json()["violations"][0]["field"] == field
    assert house.expander.asked == []


async def test_the_expander_learns_whose_words_and_which_language_these_are(house: House) -> None:
    await house.recommend(interests=["Krimis"], user_id="ann", locale="de-AT")
    asked, _ = house.expander.asked[-1]
    assert (asked.user_id, asked.locale) == ("ann", "de-AT")


async def test_an_api_key_is_charged_under_a_name_that_does_not_tell_it(house: House) -> None:
    names = []
    for key in ("pk-secret-one", "pk-secret-one", "pk-secret-two"):
        answer = await house.http.post("/v1/recommendations", json={"interests": ["space"]}, headers={"x-api-key": key})
        assert answer.status_code == 200
        names.append(house.expander.asked[-1][1][CALLER_HEADER])
    assert names[0] == names[1] != names[2]
    assert not any("secret" in name for name in names)


async def test_an_answer_says_that_better_topics_are_on_their_way(house: House) -> None:
    house.expander.pending = True
    pending = await house.recommend(interests=["space"])
    house.expander.pending = False
    settled = await house.recommend(interests=["space"])
    assert (pending["topics_pending"], settled["topics_pending"]) == (True, False)
    assert stages(pending) == []  # it is what the mode asks for, not a failure


async def test_erasing_a_user_reaches_what_was_made_of_their_words(house: House) -> None:
    assert (await house.http.delete("/v1/users/ann%2Bbob")).status_code == 204
    assert house.expander.erased == ["ann+bob"]


@pytest.mark.parametrize("how", ["down", "FAILS"])
async def test_an_erasure_that_did_not_reach_it_says_so_and_can_be_repeated(house: House, how: str) -> None:
    await house.like("ann", "dune")
    if how == "down":
        await house.expander.stop()
    else:
        house.expander.behaviour = Behaviour[how]
    refused = await house.http.delete("/v1/users/ann")
    assert (refused.status_code, refused.json()["type"]) == (503, "/problems/erasure-incomplete")
    assert "try again" in refused.json()["detail"]
    assert (await house.http.get("/v1/users/ann")).status_code == 404  # the events are gone already
    if how == "down":
        await house.expander.start()
    house.expander.behaviour = Behaviour.ANSWERS
    assert (await house.http.delete("/v1/users/ann")).status_code == 204
    assert house.expander.erased == ["ann"]
