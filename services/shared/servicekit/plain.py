"""Serves routes without parameters straight from the server, past FastAPI's stack and router. Knows nothing of what they do.

Ten layers lie between the server and a handler, and each awaits the next: a quarter of the time of a quick request.
"""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from fastapi import FastAPI, Request, Response
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from servicekit import problems
from servicekit.middleware import BodyTooLarge


class PlainRoute(Protocol):
    """One method of one path, whose handler takes the request and gives a `Response`."""

    @property
    def method(self) -> str: ...

    @property
    def path(self) -> str: ...

    @property
    def handler(self) -> Callable[..., Any]: ...


class PlainRoutes:
    """An ASGI application; errors of `routes` are answered by the handlers of errors that `app` has."""

    def __init__(self, app: FastAPI, routes: Iterable[PlainRoute]) -> None:
        self._app, self._routes = app, {(route.method, route.path): route for route in routes}

    def has(self, scope: Scope) -> bool:
        """Whether this request is for one of the routes."""
        return (scope["method"], scope["path"]) in self._routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._routes[scope["method"], scope["path"]]
        scope["app"], scope["route"] = self._app, route
        request = Request(scope, receive)
        try:
            response: Response = await route.handler(request)
        except (ClientDisconnect, BodyTooLarge):
            raise
        except Exception as error:  # any other has its answer, the unforeseen one too
            response = await problems.answer(request, error)
        await response(scope, receive, send)
