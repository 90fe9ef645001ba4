"""An expander that expands ahead of traffic as told: a real server with state. Knows nothing of the job that asks it."""

from collections import Counter
from collections.abc import Mapping

from aiohttp import web
from tests.fakes.services import FakeService, problem

from contracts.expander import PrecomputeRequest


class FakePrecomputer(FakeService):
    """Expands at most `at_once` interests a request, the rest is pending; keeps what it has made.

    Those in `failing` fail as many times as it says. The next requests are answered with the statuses in `refusing`, in order; where
    `renames` is set, it answers with other interests than were sent.
    """

    routes = (("POST", "/v1/expansions:precompute", "precompute"),)

    def __init__(self) -> None:
        super().__init__()
        self.at_once = 1_000
        self.kept: list[str] = []
        self.failing: Counter[str] = Counter()
        self.refusing: list[int] = []
        self.has_llm, self.renames = True, False
        self.asked: list[PrecomputeRequest] = []
        self.headers: list[Mapping[str, str]] = []

    async def precompute(self, request: web.Request) -> web.Response:
        if not self.has_llm:
            return problem(503, "llm-not-configured", "Nothing can be expanded ahead: there is no LLM here.")
        if self.refusing:
            return problem(self.refusing.pop(0), "overloaded", "Too much is going on.")
        asked = PrecomputeRequest.model_validate_json(await request.read())
        self.asked.append(asked)
        self.headers.append(request.headers)
        left = self.at_once
        rows = []
        for interest in asked.interests:
            rows.append(self._row(interest, left > 0))
            left -= rows[-1]["status"] != "kept"
        return web.json_response({"results": rows})

    def _row(self, interest: str, has_time: bool) -> dict[str, str]:
        told = {"interest": f"another {interest}" if self.renames else interest}
        if interest in self.kept:
            return {**told, "status": "kept"}
        if not has_time:
            return {**told, "status": "pending", "reason": "no time was left; ask again"}
        if self.failing[interest] > 0:
            self.failing[interest] -= 1
            return {**told, "status": "failed", "reason": "the LLM's answer is a refusal"}
        self.kept.append(interest)
        return {**told, "status": "made"}
