"""The expander's HTTP interface. Knows the wire types, nothing of how topics are found."""

from typing import Annotated

from fastapi import Header, Request

from contracts.expander import ExpanderIdentity, ExpandRequest, ExpandResponse, Expansion
from expander.expansion import Expander
from servicekit import context
from servicekit.app import Route
from servicekit.deadline import HEADER, Deadline
from servicekit.problems import StatusTable


async def expand(
    request: Request, asked: ExpandRequest, patience_ms: Annotated[float | None, Header(alias=HEADER, ge=0, allow_inf_nan=False)] = None
) -> ExpandResponse:
    """Proposes topics for interests. Always answers: what the LLM can not do before the deadline, the catalogue's own topics do."""
    expander: Expander = request.app.state.expander
    deadline = Deadline.after_ms(min(asked.deadline_ms, asked.deadline_ms if patience_ms is None else patience_ms))
    with context.stage("expand"):
        expansions = await expander.expand(asked.interests, asked.max_topics, deadline)
    return ExpandResponse(
        expansions=tuple(Expansion.model_validate(expansion, from_attributes=True) for expansion in expansions),
        degraded=any(expansion.fallback_reason is not None for expansion in expansions),
    )


async def show_backend(request: Request) -> ExpanderIdentity:
    """Says who proposes topics here, and who stands in."""
    expander: Expander = request.app.state.expander
    fallback = expander.catalogue.model
    if expander.llm is None:
        return ExpanderIdentity(backend=expander.catalogue.name, model=fallback or "none", fallback=fallback)
    return ExpanderIdentity(backend=expander.llm.name, model=expander.llm.model or "none", fallback=fallback)


STATUSES: StatusTable = {}
"""Empty: whatever fails in here, the answer is 200 and says who stood in."""

ROUTES: tuple[Route, ...] = (
    Route("POST", "/v1/expand", expand),
    Route("GET", "/v1/backend", show_backend),
)
