"""The route that enriches items. Knows the wire types, nothing of how an LLM is asked."""

from fastapi import Request, Response

from contracts.expander import EnrichRequest, EnrichResponse
from expander import api_bodies
from expander.enriching import Enricher
from expander.items import Described
from servicekit import context
from servicekit.app import Route


async def enrich(request: Request) -> Response:
    """Has the LLM write 3 to 8 tags and one sentence about each item. 200 also where it could not: each such item says why, and `retry`
    whether asking again later may help."""
    enricher: Enricher = request.app.state.enricher
    body = await api_bodies.read(request, EnrichRequest)
    items = [Described(one.id, one.title, one.text, one.attributes) for one in body.items]
    with context.stage("enrich"):
        enrichments = await enricher.enrich(items, api_bodies.deadline(request, body.deadline_ms), api_bodies.caller(request))
    return api_bodies.answer({"enrichments": enrichments})


ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        "/v1/enrich",
        enrich,
        options=api_bodies.described(EnrichRequest, EnrichResponse, "One enrichment per item, in order."),
        plain=True,
    ),
)
