"""Expansions in a Redis or Valkey server that replicas share. Knows nothing of who made them, and leaves connecting to `redis_connections`.

Every key begins with `PREFIX`, whose braces put all of them into one slot, as scripts that touch several ask for:
`entry:<key>` an expansion as JSON, `owner:<hash>` the set of keys that were put for a user, `lease:<key>` who makes it now, and
`erased:<hash>` that a user was erased not long ago. Each expires by itself.

The server must not evict owners before their entries, or an erasure misses these: `maxmemory-policy noeviction`, or `volatile-ttl`, which
takes the shortest-lived first, and owners outlive what they own.
"""

import hashlib
import secrets
from collections.abc import Sequence

from expander.backends.packing import FORMAT, packed, unpacked
from expander.backends.redis_connections import NotAnswered, RedisConnections
from expander.entries import NEGATIVE_TTL_S, Entry
from expander.errors import StoreUnavailable
from expander.metrics import ExpanderMetrics
from servicekit import logs

LOG = logs.get(__name__)

PREFIX = f"warmstart:expansion:{{{FORMAT}}}:"
LIVES = 8
"""Times to live after which an entry that nobody made anew is gone: stale ones are of use, for ever would fill the server."""
LONGEST_MS = 10 * 365 * 86_400_000
TIMEOUT_S = 0.1
ERASED_MS, MARGIN_MS = 900_000, 1_000
"""How long an erasure is remembered, longer than any call takes; what was begun up to a second after it is not kept."""

PUT = """
local left = redis.call('PTTL', KEYS[3])
if left >= 0 and tonumber(ARGV[4]) >= tonumber(ARGV[5]) - left then return 0 end
redis.call('SADD', KEYS[2], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[6])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
"""Owner before entry, all or nothing, and nothing that was begun before its user was erased."""

ERASE = """
local keys = redis.call('SMEMBERS', KEYS[1])
redis.call('DEL', KEYS[1])
for _, key in ipairs(keys) do redis.call('DEL', ARGV[1] .. key) end
redis.call('SET', KEYS[2], '', 'PX', ARGV[2])
return keys
"""
"""A script runs to its end before anything else does. Deletes before it sets, which a server whose memory is full still allows."""

LEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) and 1 or 0
"""
RELEASE = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0"


class RedisStore:
    """Entries in the server at `url`, for eight times `ttl_s`. No call takes much longer than `timeout_s`.

    A server that is down, frozen or full costs entries, and calls that replicas make twice, but no answer. Raises `StoreUrlInvalid`.
    """

    shared = True

    def __init__(self, url: str, ttl_s: float, metrics: ExpanderMetrics, timeout_s: float = TIMEOUT_S) -> None:
        self._failures = metrics.cache.store_failures
        self._server = RedisConnections(url, timeout_s, self._failures)
        self._kept_ms = min(round(LIVES * ttl_s * 1_000) + 1, LONGEST_MS)
        self._tokens: dict[str, str] = {}

    async def get(self, key: str) -> Entry | None:
        """The entry, of any age; None also where the server does not answer, or holds something else there."""
        try:
            value = await self._server.ask("get", lambda redis: redis.get(_entry(key)))
        except NotAnswered:
            return None
        if value is not None and (entry := unpacked(value)) is None:
            self._failures.labels("get", "unreadable").inc()
            LOG.warning("expansion_unreadable", key=key)
            return None
        return entry if value is not None else None

    async def put(self, key: str, entry: Entry, user_id: str | None, took_s: float = 0.0) -> None:
        """Keeps `entry` unless its user was erased since it was begun `took_s` ago; returns when it is kept, or failed to be."""
        value, lives_ms = packed(entry), self._kept_ms if entry.topics else round(NEGATIVE_TTL_S * 1_000)
        try:
            if user_id is None:
                await self._server.ask("put", lambda redis: redis.set(_entry(key), value, px=lives_ms))
                return
            keys = (_entry(key), *_of_user(user_id))
            arguments = (value, lives_ms, key, round(took_s * 1_000) + MARGIN_MS, ERASED_MS, self._kept_ms)
            await self._server.ask("put", lambda redis: redis.eval(PUT, len(keys), *keys, *arguments))
        except NotAnswered:
            return

    async def erase(self, user_id: str) -> Sequence[str]:
        """Removes every entry that was put for `user_id`, and what calls under way in other replicas would put; the keys.

        Raises `StoreUnavailable`. Asking again does no harm; a client that dies in between leaves all of it done or nothing.
        """
        keys = _of_user(user_id)
        try:
            found = await self._server.ask("erase", lambda redis: redis.eval(ERASE, len(keys), *keys, _entry(""), ERASED_MS))
        except NotAnswered as error:
            raise StoreUnavailable(f"The server of expansions failed ({error}): not everything may be erased. Ask again.") from error
        return [bytes(key).decode(errors="replace") for key in found]

    async def lease(self, key: str, seconds: float) -> bool:
        """Whether this process is the one that makes `key`, also once more for as long; True too where the server does not answer."""
        token = self._tokens.setdefault(key, secrets.token_hex(16))
        try:
            mine = await self._server.ask("lease", lambda redis: redis.eval(LEASE, 1, _lease(key), token, round(seconds * 1_000)))
        except NotAnswered:
            return True
        if not mine:
            self._tokens.pop(key, None)
        return bool(mine)

    async def release(self, key: str) -> None:
        """Ends the lease that this process has; where the server does not answer it ends by itself."""
        if token := self._tokens.pop(key, None):
            try:
                await self._server.ask("release", lambda redis: redis.eval(RELEASE, 1, _lease(key), token))
            except NotAnswered:
                return

    async def close(self) -> None:
        """Closes every connection."""
        await self._server.close()


def _entry(key: str) -> str:
    return f"{PREFIX}entry:{key}"


def _lease(key: str) -> str:
    return f"{PREFIX}lease:{key}"


def _of_user(user_id: str) -> tuple[str, str]:
    """Keys of what was put for a user, and of the user's erasure."""
    owner = hashlib.sha256(user_id.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{PREFIX}owner:{owner}", f"{PREFIX}erased:{owner}"
