"""The expander's routes. Knows the wire types, nothing of how topics are found."""

from typing import Annotated

from fastapi import Path, Request, Response

from contracts.expander import (
    ErasedExpansions,
    ExpanderIdentity,
    ExpandRequest,
    ExpandResponse,
    PrecomputeRequest,
    PrecomputeResponse,
    StructuredOutput,
)
from contracts.wire import Id
from expander import api_bodies, api_enrich, errors
from expander.expansion import Expander, Patience
from expander.precomputing import Precomputer
from servicekit import context
from servicekit.app import Route
from servicekit.problems import StatusTable


async def expand(request: Request) -> Response:
    """Proposes topics for interests. Always answers: what the LLM can not do before the deadline, the catalogue's own topics do."""
    expander: Expander = request.app.state.expander
    body = await api_bodies.read(request, ExpandRequest)
    patience = Patience(body.mode, api_bodies.deadline(request, body.deadline_ms), body.max_topics, api_bodies.caller(request))
    asked = api_bodies.interests(body.interests, body.history, body.locale, body.user_id)
    with context.stage("expand"):
        expansions = await expander.expand(asked, patience)
    degraded = any(expansion.fallback_reason is not None for expansion in expansions)
    return api_bodies.answer({"expansions": expansions, "degraded": degraded})


async def precompute(request: Request) -> Response:
    """Expands interests ahead of traffic, in the LLM's lane for bulk. What is kept already is left alone; ask again for what is pending."""
    precomputer: Precomputer = request.app.state.precomputer
    body = await api_bodies.read(request, PrecomputeRequest)
    deadline = api_bodies.deadline(request, body.deadline_ms)
    results = await precomputer.run(api_bodies.interests(body.interests, locale=body.locale), deadline, api_bodies.caller(request))
    return api_bodies.answer({"results": results})


async def erase_user(request: Request, user_id: Annotated[Id, Path()]) -> ErasedExpansions:
    """Removes every expansion that was made from this user's words. Asking again does no harm."""
    expander: Expander = request.app.state.expander
    return ErasedExpansions(erased=await expander.erase(user_id))


async def show_backend(request: Request) -> ExpanderIdentity:
    """Says who proposes topics here, who stands in, and what the LLM does with a JSON schema."""
    expander: Expander = request.app.state.expander
    fallback = expander.catalogue.model
    if (proposer := expander.proposer) is None:
        return ExpanderIdentity(backend=expander.catalogue.name, model=fallback or "none", fallback=fallback)
    return ExpanderIdentity(
        backend="llm",
        model=proposer.model,
        fallback=fallback,
        profile=request.app.state.profile,
        prompt_version=proposer.prompt_version,
        enrichment_version=request.app.state.enricher.prompt_version,
        structured_output=StructuredOutput.model_validate(proposer.llm.structured, from_attributes=True),
    )


STATUSES: StatusTable = {errors.StoreUnavailable: 503, errors.LlmNotConfigured: 503}
"""Short: whatever the LLM does, the answer is 200 and says who stood in."""

ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        "/v1/expand",
        expand,
        options=api_bodies.described(ExpandRequest, ExpandResponse, "One expansion per interest, in order."),
        plain=True,
    ),
    Route(
        "POST",
        "/v1/expansions:precompute",
        precompute,
        options=api_bodies.described(PrecomputeRequest, PrecomputeResponse, "What became of each interest, in order."),
        plain=True,
    ),
    *api_enrich.ROUTES,
    Route("DELETE", "/v1/users/{user_id}/expansions", erase_user),
    Route("GET", "/v1/backend", show_backend),
)
