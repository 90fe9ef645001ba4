"""Composition root of the gateway: settings in, application out. Knows nothing of what the parts do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import FileResponse
from starlette.staticfiles import StaticFiles

from gateway import api, ladder
from gateway.backends.postgresql import PostgresqlProfiles
from gateway.backends.postgresql_connections import parameters
from gateway.backends.sqlite import SqliteProfiles
from gateway.catalogue import Catalogue
from gateway.clients import EncoderClient, ExpanderClient, RetrieverClient, told
from gateway.embeddings import Embeddings
from gateway.errors import LadderInvalid, ProfilesUrlInvalid
from gateway.gateway import Gateway
from gateway.metrics import GatewayMetrics
from gateway.patience import Shares
from gateway.pipeline import Pipeline
from gateway.popular import PopularList
from gateway.profiles import Profiles
from gateway.remembered import Remembered
from gateway.search import Searcher
from gateway.settings import Settings
from gateway.titles import Titles
from servicekit import app as servicekit_app
from servicekit.client import ServiceClient, connections

CONSOLE = Path(__file__).parent / "console"
REMEMBERED_RESULTS = 100
"""Of recommendations, and as many of similar items; one of them can take some 0.4 MB."""
PAGE_HEADERS = {"cache-control": "no-cache", "x-content-type-options": "nosniff", "content-security-policy": "frame-ancestors 'none'"}
"""The page forbids everything foreign in a meta tag of its own; who may frame it can only be said in a header."""


class Revalidated(StaticFiles):
    """Files that a browser asks for again after an upgrade, instead of mixing old modules with new ones."""

    def file_response(self, *args: Any, **options: Any) -> Response:
        response = super().file_response(*args, **options)
        response.headers.update(PAGE_HEADERS)
        return response


def build(settings: Settings) -> FastAPI:
    """The gateway's application; exits with a sentence when the ladder artefact, or the URL of the store of events, can not be used."""
    try:
        weights = ladder.load(settings.ladder_path)
        shared_store = parameters(url) if (url := settings.profiles_url.get_secret_value()) else None
    except (LadderInvalid, ProfilesUrlInvalid) as error:
        raise SystemExit(str(error)) from error
    metrics = GatewayMetrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        settings.state_dir.mkdir(parents=True, exist_ok=True)
        async with AsyncExitStack() as pools:
            profiles = await _profiles(settings, shared_store)
            pools.push_async_callback(profiles.close)

            async def service(name: str, url: str) -> ServiceClient:
                """With connections of its own, so that a service that stalls leaves those of the others free."""
                return ServiceClient(name, url, await pools.enter_async_context(connections()))

            encoder = EncoderClient(await service("encoder", settings.encoder_url))
            expander = ExpanderClient(await service("expander", settings.expander_url))
            asked, written = settings.retriever_urls
            reading = await service("retriever", asked)
            retriever = RetrieverClient(reading, reading if asked == written else await service("retriever", written))
            embeddings, titles = Embeddings(encoder, settings.cached_embeddings), Titles(retriever)
            popular = PopularList(retriever, settings.state_dir / "popular.json", settings.popular_refresh_s)
            pipeline = Pipeline(
                expander=expander,
                profiles=profiles,
                embeddings=embeddings,
                searcher=Searcher(retriever, weights, titles, embeddings, told),
                titles=titles,
                popular=popular,
                items=retriever,
                remembered=Remembered(REMEMBERED_RESULTS),
                alike=Remembered(REMEMBERED_RESULTS),
                shares=Shares(settings.expander_share, settings.encoder_share),
                liked_rating=settings.liked_rating,
            )
            catalogue = Catalogue(encoder, retriever, settings.import_deadline_s, told)
            app.state.gateway = Gateway(pipeline, catalogue, profiles, encoder, expander, retriever, metrics)
            renewing = asyncio.create_task(popular.run())
            try:
                yield
            finally:
                renewing.cancel()
                with suppress(asyncio.CancelledError):
                    await renewing

    async def ready() -> None:
        await app.state.gateway.check()

    app = servicekit_app.build(
        "gateway", settings, routes=api.ROUTES, statuses=api.STATUSES, ready=ready, lifespan=lifespan, metrics=metrics
    )
    _mount_console(app)
    return app


async def _profiles(settings: Settings, shared_store: str | None) -> Profiles:
    """The store of events, opened: the shared one that is named, or a file of this process."""
    if shared_store is None:
        return await asyncio.to_thread(SqliteProfiles, settings.state_dir / "profiles.sqlite", settings.liked_rating)
    profiles = PostgresqlProfiles(shared_store, settings.liked_rating)
    await profiles.open()
    return profiles


def _mount_console(app: FastAPI) -> None:
    """Serves the web page at `/` and its files below `/console`."""

    async def page() -> FileResponse:
        return FileResponse(CONSOLE / "index.html", headers=PAGE_HEADERS)

    app.add_api_route("/", page, methods=["GET"], include_in_schema=False)
    app.mount("/console", Revalidated(directory=CONSOLE))
