"""The routes of the retriever over HTTP and the status of each of its errors. The handlers are in the files named api_*."""

from fastapi.responses import StreamingResponse

from contracts import items as wire_items
from contracts import search as wire_search
from contracts.retriever import (
    ContentRole,
    DeleteRequest,
    DeleteResponse,
    ItemPage,
    ItemPatch,
    NewSpace,
    PatchLine,
    PatchResponse,
    RetrieveRequest,
    RetrieveResponse,
    SpaceRow,
    StoredItem,
    UpsertRequest,
    UpsertResponse,
    VectorLine,
)
from retriever import api_bodies, api_export, api_items, api_retrieve, api_search, api_spaces, api_writes, errors
from retriever.api_bodies import LINES, takes
from servicekit.app import Route

JSON = "application/json"

STATUSES: dict[type[Exception], int] = {
    errors.ItemUnknown: 404,
    errors.SpaceUnknown: 404,
    errors.FingerprintMismatch: 409,
    errors.ReadOnly: 409,
    errors.SpaceExists: 409,
    errors.SpaceInUse: 409,
    errors.VectorsMissing: 409,
    errors.CursorInvalid: 422,
    errors.EmbeddingInvalid: 422,
    errors.FilterUnsupported: 422,
    errors.ItemTooLarge: 422,
    errors.LineRefused: 422,
    errors.NothingToRetrieve: 422,
    errors.SearchInvalid: 422,
    errors.SpaceInvalid: 422,
    errors.SpaceRowRefused: 422,
    errors.Overloaded: 429,
    errors.GenerationNotReached: 503,
    errors.IndexNotLoaded: 503,
    errors.StorageFailed: 503,
    errors.DeadlineMissed: 504,
}

# the hot ones first: they are tried in this order
ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        "/v1/search",
        api_search.search_items,
        options={"response_model": wire_search.SearchResponse, **takes({JSON: wire_search.SearchRequest})},
        plain=True,
        gate=api_bodies.too_many_searches,
    ),
    Route(
        "POST",
        "/v1/retrieve",
        api_retrieve.retrieve_candidates,
        options={"response_model": RetrieveResponse, **takes({JSON: RetrieveRequest})},
        plain=True,
        gate=api_bodies.too_many_searches,
    ),
    Route(
        "PUT",
        "/v1/items",
        api_writes.put_items,
        options={"response_model": UpsertResponse, **takes({JSON: UpsertRequest, LINES: StoredItem})},
    ),
    Route("PATCH", "/v1/items", api_writes.patch_items, options={"response_model": PatchResponse, **takes({LINES: PatchLine})}),
    Route("POST", "/v1/items/delete", api_writes.delete_items, options={"response_model": DeleteResponse, **takes({JSON: DeleteRequest})}),
    Route("GET", "/v1/items", api_items.list_items, options={"response_model": ItemPage}),
    Route("GET", "/v1/items/{item_id}", api_items.get_item, options={"response_model": wire_items.Item}),
    Route("PATCH", "/v1/items/{item_id}", api_writes.patch_item, options={"response_model": PatchResponse, **takes({JSON: ItemPatch})}),
    Route("DELETE", "/v1/items/{item_id}", api_writes.delete_item, options={"response_model": DeleteResponse}),
    Route("GET", "/v1/spaces", api_spaces.list_spaces),
    Route("POST", "/v1/spaces", api_spaces.create_space, options=takes({JSON: NewSpace})),
    Route("GET", "/v1/spaces/content", api_spaces.read_content_space, options={"response_class": StreamingResponse}),
    Route("PUT", "/v1/spaces/{space}", api_spaces.replace_space, options=takes({LINES: SpaceRow})),
    Route("DELETE", "/v1/spaces/{space}", api_spaces.drop_space, 204),
    Route(
        "PUT",
        "/v1/spaces/{space}/vectors",
        api_spaces.put_vectors,
        options={"response_model": UpsertResponse, **takes({LINES: VectorLine})},
    ),
    Route("GET", "/v1/spaces/{space}/vectors", api_export.read_vectors, options={"response_class": StreamingResponse}),
    Route("POST", "/v1/spaces/{space}/merge", api_spaces.merge_space, 202),
    Route("PUT", "/v1/roles/content", api_spaces.cut_over, options=takes({JSON: ContentRole})),
)
