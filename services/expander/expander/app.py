"""Composes the expander: settings in, application out. Knows every part, and does none of their work."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from fastapi import FastAPI

from expander import api
from expander.artefact import ArtefactFile
from expander.asking import Llm
from expander.backends.chat import Chat
from expander.backends.cooccurrence import Cooccurrence
from expander.backends.redis_store import RedisStore
from expander.backends.sqlite_store import SqliteStore
from expander.cache import ExpansionCache
from expander.clients import EncoderClient
from expander.enriching import Enricher
from expander.entries import Store
from expander.errors import ArtefactBroken, ArtefactMissing, LlmFailed, NotReady
from expander.expansion import Expander
from expander.flights import Flights
from expander.grounding import Grounder
from expander.metrics import ExpanderMetrics
from expander.nearest import Nearest
from expander.precomputing import Precomputer
from expander.proposing import Proposer
from expander.runtimes.table import PROFILES
from expander.settings import Settings
from expander.synonyms import Distinct
from servicekit import app as servicekit_app
from servicekit import client
from servicekit.client import ServiceClient
from servicekit.deadline import Deadline

CACHE_FILE = "expansions.sqlite3"
CHECK_MS = 2_000


def build(settings: Settings) -> FastAPI:
    """The expander's application."""
    metrics = ExpanderMetrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            file = ArtefactFile(settings.topics_path)
            encoder = await _encoder(settings, stack)
            catalogue = Cooccurrence(file, _nearest(encoder, file, stack))
            with suppress(ArtefactMissing, ArtefactBroken):  # logged by the file; topics come once it is there
                await catalogue.check()
            grounder = Grounder(file)
            llm = await _llm(settings, stack, metrics)
            distinct = Distinct(encoder, metrics)
            proposer = Proposer(llm, distinct, grounder, metrics, timeout_s=settings.llm_limits.timeout_s) if llm else None
            store = _store(settings, metrics)
            kept = ExpansionCache(store, settings.cache_size, settings.cache_ttl_s, metrics)
            stack.push_async_callback(kept.close)
            flights = Flights(store, kept)
            stack.push_async_callback(flights.close)
            app.state.expander = Expander(proposer, catalogue, kept, flights, grounder, metrics)
            app.state.precomputer = Precomputer(proposer, kept, flights, llm.concurrency if llm else 1)
            app.state.enricher = Enricher(llm, metrics)
            app.state.llm, app.state.profile = llm, settings.llm_profile
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


async def _llm(settings: Settings, stack: AsyncExitStack, metrics: ExpanderMetrics) -> Llm | None:
    if not settings.llm_url:
        return None
    kept_open = settings.llm_profile == "external"  # of our own, pods come and go; a handshake is nothing beside a generation
    session = await stack.enter_async_context(client.connections(0, kept=kept_open))  # Llm bounds how many calls there are
    chat = Chat(settings.llm_url, settings.llm_model, session, metrics, api_key=settings.llm_api_key)
    llm = Llm(chat, PROFILES[settings.llm_profile], settings.llm_limits, settings.llm_prices, metrics)
    stack.push_async_callback(llm.close)
    return llm


async def _encoder(settings: Settings, stack: AsyncExitStack) -> EncoderClient | None:
    if not settings.encoder_url:
        return None
    session = await stack.enter_async_context(client.connections())
    return EncoderClient(ServiceClient("encoder", settings.encoder_url, session))


def _nearest(encoder: EncoderClient | None, file: ArtefactFile, stack: AsyncExitStack) -> Nearest | None:
    if encoder is None:
        return None
    nearest = Nearest(encoder)
    nearest.keep_loaded(lambda: file.topics)
    stack.push_async_callback(nearest.close)
    return nearest


def _store(settings: Settings, metrics: ExpanderMetrics) -> Store:
    if url := settings.cache_url.get_secret_value():
        return RedisStore(url, settings.cache_ttl_s, metrics)
    return SqliteStore(settings.state_dir / CACHE_FILE, settings.cache_size, metrics)


async def _check(catalogue: Cooccurrence, llm: Llm | None) -> None:
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
            await llm.check(Deadline.after_ms(CHECK_MS))
        except LlmFailed as failed:
            raise NotReady(f"{failed}; {broken}") from failed
