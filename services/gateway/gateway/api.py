"""The routes of the public HTTP API and the status of each of its errors. The handlers are in the files named api_*."""

from typing import Any

from fastapi.responses import Response, StreamingResponse

from contracts import gateway as wire
from contracts.items import Item as WireItem
from contracts.retriever import ItemPage, SpaceStatus
from gateway import api_events, api_items, api_recommendations, api_spaces, errors
from gateway.api_bodies import JSON, NDJSON, gives, takes
from servicekit import openapi, problems
from servicekit.app import Route

STATUSES: problems.StatusTable = {
    errors.ItemUnknown: 404,
    errors.UserUnknown: 404,
    errors.RequestRefused: 422,
    errors.MediaTypeUnsupported: 415,
    errors.Unavailable: 503,
}

EVENT, ITEM, ROW = wire.Event.model_json_schema(), WireItem.model_json_schema(), wire.RowResult.model_json_schema()
ASKED = {"schema": openapi.in_place(wire.RecommendationRequest.model_json_schema()), "examples": api_recommendations.EXAMPLES}
EVENTS = {"type": "object", "required": ["events"], "properties": {"events": {"type": "array", "maxItems": 10_000, "items": EVENT}}}
LINES: dict[str, Any] = {NDJSON: {"schema": ROW}}

ASKING = openapi.takes({JSON: ASKED})

ROUTES: tuple[Route, ...] = (
    Route("POST", "/v1/recommendations", api_recommendations.recommend, options=gives(wire.RecommendationResponse, openapi_extra=ASKING)),
    Route(
        "POST",
        "/v1/events",
        api_events.add_events,
        options=gives(
            wire.EventsAccepted,
            openapi_extra=takes(json={"oneOf": [EVENT, EVENTS]}, lines=EVENT),
            responses={200: {"content": LINES}},
        ),
    ),
    Route("GET", "/v1/events", api_events.list_events, options=gives(wire.EventPage)),
    Route("GET", "/v1/items", api_items.list_items, options=gives(ItemPage)),
    Route(
        "POST",
        "/v1/items",
        api_items.import_items,
        options={"openapi_extra": takes(lines=ITEM), "response_class": StreamingResponse, "responses": {200: {"content": LINES}}},
    ),
    Route("GET", "/v1/items/{item_id}", api_items.get_item, options=gives(WireItem, responses={304: {"description": "Unchanged."}})),
    Route("PUT", "/v1/items/{item_id}", api_items.put_item, options=gives(WireItem, responses={201: {"model": WireItem}})),
    Route("DELETE", "/v1/items/{item_id}", api_items.delete_item, 204),
    Route("GET", "/v1/items/{item_id}/similar", api_recommendations.list_similar, options=gives(wire.SimilarResponse)),
    Route("GET", "/v1/users/{user_id}", api_events.get_user, options=gives(wire.User)),
    Route("DELETE", "/v1/users/{user_id}", api_events.erase_user, 204),
    Route("PUT", "/v1/spaces/{space}", api_spaces.put_space, options=gives(SpaceStatus, openapi_extra=takes(lines={"type": "string"}))),
    Route("GET", "/v1/spaces/content", api_spaces.read_content_space, options={"response_class": Response}),
    Route("GET", "/v1/spaces", api_spaces.list_spaces, options=gives(tuple[SpaceStatus, ...])),
    Route("GET", "/v1/status", api_spaces.system_status, options=gives(wire.SystemStatus)),
)
