"""Builds the web application every service is: routes, health, metrics, docs, problems. Knows no service's routes."""

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.datastructures import State
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from contracts.problems import Problem
from servicekit import problems
from servicekit.metrics import HttpMetrics
from servicekit.middleware import RequestMiddleware, Traffic
from servicekit.plain import PlainRoutes
from servicekit.settings import ServiceSettings

ReadyCheck = Callable[[], Awaitable[None]]
"""Returns when the service can do its work; raises with the reason when it can not."""


@dataclass(frozen=True)
class Route:
    """One line of a service's ROUTES: the handler's docstring is the documentation."""

    method: str
    path: str
    handler: Callable[..., Any]
    status: int = 200
    options: dict[str, Any] = field(default_factory=dict)
    """Further arguments of FastAPI's `add_api_route`, such as `responses` or `openapi_extra`."""
    plain: bool = False
    """The handler takes the request alone and gives a `Response`, and the path has no parameters: see servicekit/plain.py."""
    gate: Callable[[State, int], str | None] | None = None
    """Of a plain route: why its requests are refused just now (429), or None; asked with `app.state` before anything is done."""


class _PlainRoute(APIRoute):
    """Documented like any other, called with the request and nothing else."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return handler


class _Service(FastAPI):
    """Requests of plain routes never reach FastAPI, which only documents them."""

    plain: PlainRoutes
    entrance: RequestMiddleware

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self.plain.has(scope):
            await self.entrance(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


@dataclass
class Health:
    """Whether this process wants traffic; `draining` is set by SIGTERM."""

    ready: ReadyCheck
    draining: bool = False


def build(
    service: str,
    settings: ServiceSettings,
    *,
    routes: Sequence[Route],
    statuses: problems.StatusTable,
    ready: ReadyCheck,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]],
    metrics: HttpMetrics,
) -> FastAPI:
    """The application of `service`; `lifespan` opens what the handlers find in `app.state` and closes it after draining."""

    @asynccontextmanager
    async def opened(app: FastAPI) -> AsyncIterator[None]:
        async with lifespan(app):
            yield

    app = _Service(
        title=f"Warmstart {service}",
        version=version(f"warmstart-{service}"),
        lifespan=opened,
        docs_url=None,
        redoc_url=None,
        strict_content_type=False,  # a body without a Content-Type is read as JSON
        responses={"4XX": {"model": Problem}, "5XX": {"model": Problem}},
    )
    app.state.health, app.state.metrics = (health := Health(ready)), metrics
    for route in routes:
        app.router.add_api_route(
            route.path,
            route.handler,
            methods=[route.method],
            status_code=route.status,
            operation_id=route.handler.__name__,
            route_class_override=_PlainRoute if route.plain else None,
            **route.options,
        )
    for path, handler in (("/livez", _live), ("/readyz", _ready), ("/metrics", _metrics), ("/docs", _docs)):
        app.add_api_route(path, handler, methods=["GET"], include_in_schema=False)
    app.mount("/docs-assets", StaticFiles(packages=[("fastapi_offline", "static")]))
    problems.install(app, statuses)
    traffic = Traffic(
        metrics,
        draining=lambda: health.draining,
        max_in_flight=settings.max_in_flight,
        max_json_bytes=settings.max_json_bytes,
        max_lines_bytes=settings.max_body_bytes,
        gates={(route.method, route.path): partial(route.gate, app.state) for route in routes if route.gate},
    )
    app.state.traffic = traffic
    app.add_middleware(RequestMiddleware, traffic=traffic)
    app.plain = PlainRoutes(app, (route for route in routes if route.plain))
    app.entrance = RequestMiddleware(app.plain, traffic)
    return app


async def _live() -> dict[str, str]:
    return {"status": "alive"}


async def _ready(request: Request) -> Response:
    health: Health = request.app.state.health
    if health.draining:
        return problems.response(503, "draining", "This process is shutting down.", path="/readyz")
    try:
        await health.ready()
    except Exception as error:  # any reason not to be ready is an answer here, not a failure
        return problems.response(503, "not-ready", f"{type(error).__name__}: {error}", path="/readyz")
    return JSONResponse({"status": "ready"})


async def _metrics(request: Request) -> Response:
    return Response(generate_latest(request.app.state.metrics.registry), media_type=CONTENT_TYPE_LATEST)


async def _docs(request: Request) -> HTMLResponse:
    return get_swagger_ui_html(
        openapi_url="/openapi.json",
        title=request.app.title,
        swagger_js_url="/docs-assets/swagger-ui-bundle.js",
        swagger_css_url="/docs-assets/swagger-ui.css",
        swagger_favicon_url="/docs-assets/favicon.png",
    )
