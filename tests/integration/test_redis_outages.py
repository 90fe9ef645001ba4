"""Expansions whose Redis is killed, frozen, full, foreign, or not the one it was."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from structlog.testing import capture_logs
from tests.redis_server import PASSWORD, Server, free_port, running
from tests.redis_server import program as redis_program

from expander.backends.packing import packed
from expander.backends.redis_connections import MAX_CONNECTIONS
from expander.backends.redis_store import PREFIX, RedisStore
from expander.entries import Entry
from expander.errors import StoreUnavailable, StoreUrlInvalid
from expander.metrics import ExpanderMetrics

ENTRY = Entry(("one", "two", "three"), 1_000.5, 100, personal=True)
TTL_S = 600.0


class Opened:
    """A store, and what it counted."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self.metrics = ExpanderMetrics()
        self.store = RedisStore(url, TTL_S, self.metrics, timeout_s)

    def failures(self, operation: str, reason: str) -> float:
        labels = {"operation": operation, "reason": reason}
        return self.metrics.registry.get_sample_value("expander_cache_store_failures_total", labels) or 0


@asynccontextmanager
async def opened(url: str, timeout_s: float = 2.0) -> AsyncIterator[Opened]:
    own = Opened(url, timeout_s)
    try:
        yield own
    finally:
        await own.store.close()


async def reached(own: Opened, within_s: float = 10) -> None:
    """Returns when the store keeps again, by itself."""
    async with asyncio.timeout(within_s):
        while await own.store.get("reached") is None:
            await own.store.put("reached", ENTRY, None)
            await asyncio.sleep(0.05)


async def test_a_server_that_is_killed_costs_entries_and_is_found_again_when_it_is_back(redis_server: Server) -> None:
    async with opened(redis_server.url) as own:
        await own.store.put("key", ENTRY, "ann")
        with capture_logs() as logged:
            redis_server.end(signal.SIGKILL)
            assert await own.store.get("key") is None
            await own.store.put("key", ENTRY, "ann")
            assert await own.store.lease("key", 5)
            await own.store.release("key")
            with pytest.raises(StoreUnavailable, match="Ask again"):
                await own.store.erase("ann")
            redis_server.start()
            await reached(own)
        assert [event["event"] for event in logged] == ["expansion_store_unreachable", "expansion_store_reached"]
        assert own.failures("get", "unreachable") >= 1
        assert own.failures("put", "skipped") >= 1
        assert await own.store.lease("key", 5)
        assert list(await own.store.erase("ann")) == []


async def test_work_goes_on_through_kills_and_no_answer_is_another_s(redis_server: Server) -> None:
    ending = False

    async def work(own: Opened, number: int) -> int:
        rounds = 0
        while not ending:
            key = f"key {number} {rounds % 10}"
            await own.store.put(key, Entry(("one", "two", key), rounds), None)
            found = await own.store.get(key)
            assert found is None or found.topics[2] == key
            rounds += found is not None
            await asyncio.sleep(0.001)
        return rounds

    async with opened(redis_server.url) as own:
        working = [asyncio.create_task(work(own, number)) for number in range(30)]
        for _ in range(2):
            await asyncio.sleep(0.2)
            redis_server.end(signal.SIGKILL)
            await asyncio.sleep(0.2)
            await asyncio.to_thread(redis_server.start)
            await reached(own)
        ending = True
        assert all(rounds > 0 for rounds in await asyncio.gather(*working))


@pytest.mark.timed
async def test_a_frozen_server_costs_one_request_its_timeout_and_the_others_nothing(redis_server: Server) -> None:
    async with opened(redis_server.url, timeout_s=0.1) as own:
        await reached(own)
        with redis_server.frozen():
            started = time.perf_counter()
            assert await asyncio.gather(*(own.store.get("reached") for _ in range(100))) == [None] * 100
            assert time.perf_counter() - started < 0.4  # at once, and with connections for 16 of them
            started = time.perf_counter()
            for _ in range(100):
                assert await own.store.get("reached") is None
                assert await own.store.lease("key", 5)
                await own.store.put("key", ENTRY, "ann")
            assert time.perf_counter() - started < 0.4
            with pytest.raises(StoreUnavailable):
                await own.store.erase("ann")
        await reached(own)


async def test_while_it_stays_frozen_at_most_one_request_a_second_finds_out(redis_server: Server) -> None:
    async with opened(redis_server.url, timeout_s=0.1) as own:
        await reached(own)
        with redis_server.frozen():
            await own.store.get("key")
            started, before = time.monotonic(), own.failures("get", "unreachable")
            async with asyncio.timeout(30):
                while own.failures("get", "unreachable") < before + 2:
                    await asyncio.gather(*(own.store.get("key") for _ in range(5)))
                    await asyncio.sleep(0.02)
            assert time.monotonic() - started > 1.9
            assert own.failures("get", "unreachable") == before + 2


@pytest.mark.timed
async def test_a_crowd_does_not_speak_against_the_server(redis_server: Server) -> None:
    async with opened(redis_server.url, timeout_s=0.1) as own:
        await reached(own)
        found = await asyncio.gather(*(own.store.get("reached") for _ in range(1_000)))
        assert found.count(None) == own.failures("get", "busy") < 1_000
        assert await own.store.get("reached") == ENTRY
        assert own.failures("get", "unreachable") == own.failures("get", "skipped") == 0


async def test_a_full_server_keeps_nothing_more_and_still_reads_and_erases(redis_server: Server) -> None:
    async with opened(redis_server.url) as own:
        await own.store.put("hers", ENTRY, "ann")
        with redis_server.full():
            await own.store.put("more", ENTRY, "ann")
            await own.store.put("nobody's", ENTRY, None)
            assert own.failures("put", "refused") == 2
            assert await own.store.get("hers") == ENTRY
            assert await own.store.lease("key", 5)
            assert await own.store.erase("ann") == ["hers"]
            assert await own.store.get("hers") is None
            with redis_server.client() as client:
                assert not client.keys(f"{PREFIX}owner:*")
        await own.store.put("nobody's", ENTRY, None)
        assert await own.store.get("nobody's") == ENTRY


GARBAGE = [b"", b"\xff\xfe", b"null", b"[]", b'{"format":1}', b"<html>", b"\x80\x04K\x01.", packed(ENTRY).encode()[:-1]]


async def test_values_of_others_are_misses_that_are_counted_and_logged(redis_server: Server) -> None:
    async with opened(redis_server.url) as own:
        with redis_server.client() as client, capture_logs() as logged:
            for value in GARBAGE:
                client.set(f"{PREFIX}entry:key", value)
                assert await own.store.get("key") is None
            client.set(f"{PREFIX}entry:key", json.dumps({**json.loads(packed(ENTRY)), "format": 2}))
            assert await own.store.get("key") is None
        assert own.failures("get", "unreadable") == len(GARBAGE) + 1
        assert {event["event"] for event in logged} == {"expansion_unreadable"}
        await own.store.put("key", ENTRY, None)
        assert await own.store.get("key") == ENTRY


async def test_keys_of_another_type_are_failures_and_no_exceptions(redis_server: Server) -> None:
    async with opened(redis_server.url) as own:
        with redis_server.client() as client:
            await own.store.put("key", ENTRY, "ann")
            (owner,) = client.keys(f"{PREFIX}owner:*")
            for key in (f"{PREFIX}entry:key", f"{PREFIX}lease:key", owner):
                client.delete(key)
                client.hset(key, "field", "value")
        assert await own.store.get("key") is None
        assert await own.store.lease("key", 5)
        await own.store.release("key")
        await own.store.put("key", ENTRY, "ann")
        with pytest.raises(StoreUnavailable, match="WRONGTYPE"):
            await own.store.erase("ann")
        assert [own.failures(operation, "refused") for operation in ("get", "lease", "release", "put", "erase")] == [1] * 5


async def test_nothing_stays_in_the_server_for_ever_and_owners_outlive_what_they_own(redis_server: Server) -> None:
    async with opened(redis_server.url) as own:
        await own.store.put("hers", ENTRY, "ann")
        await own.store.put("nobody's", ENTRY, None)
        await own.store.put("negative", Entry((), 1_000.5, cause="too_few"), "ann")
        await own.store.lease("key", 5)
        await own.store.erase("bob")
        with redis_server.client() as client:
            lives = {key.decode().removeprefix(PREFIX).split(":")[0]: client.pttl(key) for key in client.keys("*")}
            everything = b"".join(client.keys("*"))
            negative = client.pttl(f"{PREFIX}entry:negative")
        assert set(lives) == {"entry", "owner", "lease", "erased"}
        assert all(left > 0 for left in lives.values())
        assert 0 < negative <= 60_000
        assert lives["owner"] > 7 * TTL_S * 1_000
        assert b"ann" not in everything


async def test_what_another_replica_began_before_an_erasure_is_not_kept_after_it(redis_server: Server) -> None:
    async with opened(redis_server.url) as here, opened(redis_server.url) as there:
        await here.store.put("kept", ENTRY, "ann")
        assert await there.store.erase("ann") == ["kept"]
        await here.store.put("begun before", ENTRY, "ann", took_s=0.5)
        assert await here.store.get("begun before") is None
        await here.store.put("bob's", ENTRY, "bob", took_s=0.5)
        assert await here.store.get("bob's") == ENTRY


async def test_a_lease_is_one_process_s_until_it_ends_by_itself(redis_server: Server) -> None:
    async with opened(redis_server.url) as one, opened(redis_server.url) as other:
        assert sorted(await asyncio.gather(*(own.store.lease("key", 0.3) for own in (one, other)))) == [False, True]
        holder, waiting = (one, other) if await one.store.lease("key", 0.3) else (other, one)
        await waiting.store.release("key")
        assert not await waiting.store.lease("key", 0.3)
        await asyncio.sleep(0.4)
        assert await waiting.store.lease("key", 60)
        await holder.store.release("key")
        assert not await holder.store.lease("key", 60)


async def test_a_server_that_became_a_replica_is_left_for_the_one_that_its_name_stands_for_now(redis_server: Server) -> None:
    async with opened(redis_server.url) as own:
        await reached(own)
        with redis_server.client() as client:
            clients = {each["id"] for each in client.client_list() if each["name"] == "warmstart-expander"}
            client.replicaof("127.0.0.1", 1)
            await own.store.put("key", ENTRY, None)
            client.replicaof("NO", "ONE")
            await reached(own)
            assert not clients & {each["id"] for each in client.client_list()}
        assert own.failures("put", "refused") == 1


async def test_a_storm_of_cancelled_requests_leaves_connections_as_they_were(redis_server: Server) -> None:
    async with opened(redis_server.url) as own:
        await own.store.put("key", ENTRY, None)
        for number in range(300):
            call = asyncio.create_task(own.store.get("key") if number % 2 else own.store.put("other", ENTRY, "ann"))
            await asyncio.sleep(number % 20 / 10_000)
            call.cancel()
            await asyncio.wait({call})
        assert await asyncio.gather(*(own.store.get("key") for _ in range(200))) == [ENTRY] * 200
        with redis_server.client() as client:
            assert sum(each["name"] == "warmstart-expander" for each in client.client_list()) <= MAX_CONNECTIONS


async def test_no_log_and_no_error_tells_the_password(redis_server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    wrong = redis_server.url.replace(PASSWORD, "another-secret")
    with capture_logs() as logged:
        async with opened(wrong) as own:
            assert await own.store.get("key") is None
            with pytest.raises(StoreUnavailable) as refused:
                await own.store.erase("ann")
        redis_server.end()
        async with opened(redis_server.url) as own:
            with pytest.raises(StoreUnavailable) as gone:
                await own.store.erase("ann")
        redis_server.start()
    said = f"{logged} {refused.value!r} {refused.value.__cause__!r} {gone.value!r} {gone.value.__cause__!r} {capfd.readouterr()}"
    assert len(logged) == 2
    assert "another-secret" not in said
    assert PASSWORD not in said


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "the tests' own")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (certificate := tmp_path / "certificate.pem").write_bytes(built.public_bytes(Encoding.PEM))
    (secret := tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return certificate, secret


async def test_a_connection_over_tls_is_made_to_whom_the_certificate_names_and_to_nobody_else(
    redis_server: Server, certificate: tuple[Path, Path]
) -> None:
    file, key = map(str, certificate)
    port = free_port()
    program = redis_program()
    assert program is not None
    options = [
        "--tls-port",
        str(port),
        "--tls-cert-file",
        file,
        "--tls-key-file",
        key,
        "--tls-ca-cert-file",
        file,
        "--tls-auth-clients",
        "no",
    ]
    with running(program, *options):
        url = f"rediss://:{PASSWORD}@127.0.0.1:{port}/0"
        async with opened(f"{url}?ssl_ca_certs={file}") as trusting:
            await trusting.store.put("key", ENTRY, "ann")
            assert await trusting.store.get("key") == ENTRY
        async with opened(url) as doubting:
            assert await doubting.store.get("key") is None
            assert doubting.failures("get", "unreachable") == 1


BAD: list[Callable[[str], str]] = [
    lambda secret: f"http://:{secret}@host:6379/0",
    lambda secret: f"redis://:{secret}#@host:6379/0",
    lambda secret: f"redis://:{secret}/@host:6379/0",
    lambda secret: f"redis://:{secret}@host:port/0",
    lambda secret: f"redis://:{secret}@host/zero",
    lambda secret: f"redis://:{secret}@host/0?tls=yes",
    lambda secret: f"redis://:{secret}@host/0?socket_timeout=long",
    lambda secret: f"redis://:{secret}@[host/0",
    lambda secret: secret,
]


@pytest.mark.parametrize("url", [make(PASSWORD) for make in BAD], ids=range(len(BAD)))
def test_a_url_that_is_none_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(StoreUrlInvalid, match="rediss:// for TLS") as refused:
        RedisStore(url, TTL_S, ExpanderMetrics())
    assert PASSWORD not in str(refused.value)
    assert refused.value.__suppress_context__
