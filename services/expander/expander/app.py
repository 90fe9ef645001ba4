"""Composes the expander: settings in, application out. Knows every part, and does none of their work."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from fastapi import FastAPI

from expander import api
from expander.artefact import ArtefactFile
from expander.backends.chat import Chat
from expander.backends.cooccurrence import Cooccurrence
from expander.cache import ExpansionCache
from expander.errors import ArtefactBroken, ArtefactMissing, LlmFailed, NotReady
from expander.expansion import Expander
from expander.metrics import ExpanderMetrics
from expander.runtimes.table import PROFILES
from expander.settings import Settings
from servicekit import app as servicekit_app
from servicekit import client

CACHE_FILE = "expansions.sqlite3"


def build(settings: Settings) -> FastAPI:
    """The expander's application."""
    metrics = ExpanderMetrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            catalogue = Cooccurrence(ArtefactFile(settings.topics_path))
            with suppress(ArtefactMissing, ArtefactBroken):  # logged by the file; topics come once it is there
                await catalogue.check()
            llm = None
            if settings.llm_url:
                kept_open = settings.llm_profile == "external"  # of our own, pods come and go; a handshake is nothing beside a generation
                session = await stack.enter_async_context(client.connections(settings.llm_concurrency + 1, kept=kept_open))
                llm = Chat(
                    settings.llm_url,
                    settings.llm_model,
                    session,
                    metrics,
                    api_key=settings.llm_api_key,
                    max_tokens=settings.llm_max_tokens,
                    temperature=settings.llm_temperature,
                    permits=settings.llm_concurrency,
                    formatted=PROFILES[settings.llm_profile].sends_response_format,
                )
            kept = ExpansionCache(settings.state_dir / CACHE_FILE, settings.cache_size, settings.cache_ttl_s)
            stack.callback(kept.close)
            app.state.expander = Expander(llm, catalogue, kept, metrics, timeout_s=settings.llm_timeout_s)
            stack.push_async_callback(app.state.expander.close)
            app.state.llm = llm
            yield

    async def ready() -> None:
        await _check(app.state.expander.catalogue, app.state.llm)

    app = servicekit_app.build(
        "expander",
        settings,
        routes=api.ROUTES,
        statuses=api.STATUSES,
        ready=ready,
        lifespan=lifespan,
        metrics=metrics,
    )
    return app


async def _check(catalogue: Cooccurrence, llm: Chat | None) -> None:
    """Raises `NotReady` when the artefact is broken and no LLM can stand in for it.

    A missing file is no reason, whatever the LLM does: nothing has been imported yet, and "no topics" is then the right answer.
    """
    try:
        await catalogue.check()
    except ArtefactMissing:
        return
    except ArtefactBroken as broken:
        if llm is None:
            raise NotReady(str(broken)) from broken
        try:
            await llm.check()
        except LlmFailed as failed:
            raise NotReady(f"{failed}; {broken}") from failed
