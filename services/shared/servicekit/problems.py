"""Turns every error into problem details (RFC 9457). Knows no particular service's errors."""

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from contracts.problems import Problem, Violation
from servicekit import context, logs

MEDIA_TYPE = "application/problem+json"
LOG = logs.get(__name__)
MOST_VIOLATIONS = 20
"""Told of one request; a caller mends the first before the hundredth."""

StatusTable = Mapping[type[Exception], int]
"""A service's error-to-status table; the nearest class of the error's ancestry counts."""


def slug(error: type[Exception]) -> str:
    """`ItemUnknown` -> `item-unknown`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", error.__name__).lower()


def shorten(value: object, limit: int = 80) -> str:
    """The value as a caller would recognise it, at most `limit` characters, and such that UTF-8 can carry it."""
    text = value if isinstance(value, str) else repr(value)
    cut = text if len(text) <= limit else f"{text[: limit - 1]}…"
    return cut.encode("utf-8", "backslashreplace").decode("utf-8")


def violations(faults: Sequence[Mapping[str, Any]], skip: int = 0) -> tuple[Violation, ...]:
    """pydantic's first faults as violations; `skip` leading parts of each location are dropped."""
    return tuple(
        Violation(
            field=shorten(".".join(map(str, fault["loc"][skip:])) or "(the whole)", 200),
            reason=shorten(_reason(fault), 500),
            value=None if fault["type"] == "missing" else shorten(fault.get("input")),
        )
        for fault in faults[:MOST_VIOLATIONS]
    )


def _reason(fault: Mapping[str, Any]) -> str:
    return "is not known here; remove it" if fault["type"] == "extra_forbidden" else str(fault["msg"]).removeprefix("Value error, ")


def sentence(found: Sequence[Violation], count: int | None = None) -> str:
    """The violations in one line, for logs and for the rows of an import; `count` is how many there are in all."""
    said = "; ".join(f"{v.field}: {v.reason}" + ("" if v.value is None else f" (got {v.value})") for v in found)
    more = (count or 0) - len(found)
    return f"{said}; and {more} more" if more > 0 else said


def response(
    status: int,
    kind: str,
    detail: str,
    *,
    path: str | None = None,
    found: tuple[Violation, ...] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An `application/problem+json` response; `kind` is the error's slug."""
    return Response(rendered(status, kind, detail, context.request_id.get(), path=path, found=found), status, headers, MEDIA_TYPE)


def rendered(status: int, kind: str, detail: str, request_id: str, *, path: str | None = None, found: tuple[Violation, ...] = ()) -> str:
    """The body of such a response."""
    problem = Problem(
        type=f"/problems/{kind}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=path,
        request_id=request_id,
        violations=found,
    )
    return problem.model_dump_json(exclude_none=True)


async def answer(request: Request, error: Exception) -> Response:
    """The response to `error` by the handlers of the request's application, which Starlette else looks up."""
    handlers = request.app.exception_handlers
    answered: Response = await next(handlers[kind] for kind in type(error).__mro__ if kind in handlers)(request, error)
    return answered


async def _refuse_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = error.errors()
    if faults and faults[0]["type"] == "json_invalid":
        reason = faults[0].get("ctx", {}).get("error", "")
        return response(400, "json-invalid", f"The body is not JSON: {reason}. Send one JSON object.", path=request.url.path)
    found = violations(faults, skip=1)
    return response(422, "request-invalid", sentence(found, len(faults)), path=request.url.path, found=found)


async def _answer_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
    detail = {
        404: f"There is no {request.url.path} here; see /docs.",
        405: f"{request.method} is not allowed on {request.url.path}; see /docs.",
    }
    return response(error.status_code, kind, detail.get(error.status_code, str(error.detail)), path=request.url.path, headers=error.headers)


async def _answer_unexpected(request: Request, error: Exception) -> Response:
    LOG.error("request_failed", path=request.url.path, exc_info=error)
    detail = "An unexpected error; it was logged under this request id. Try again, and report the id when it happens again."
    return response(500, "internal-error", detail, path=request.url.path)


def install(app: FastAPI, statuses: StatusTable) -> None:
    """Answers every error of `app` as problem details; `statuses` maps the service's own errors.

    The handlers are coroutines, because Starlette sends plain functions to a thread: half the cost of a refusal.
    """

    async def answer_domain(request: Request, error: Exception) -> Response:
        status = next(statuses[kind] for kind in type(error).__mro__ if kind in statuses)
        retry = {"retry-after": "1"} if status in (429, 503) else None
        return response(status, slug(type(error)), str(error), path=request.url.path, headers=retry)

    for kind in statuses:
        app.add_exception_handler(kind, answer_domain)
    app.add_exception_handler(RequestValidationError, _refuse_invalid)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(Exception, _answer_unexpected)
