"""What can go wrong in the gateway. Knows no status codes.

GatewayError
├── ItemUnknown               the catalogue holds no item of this id
├── UserUnknown               nothing is stored of this user
├── RequestRefused            the request is well-formed, but what it asks for makes no sense
│   ├── IdMismatch            the id in the body is not the one in the path
│   ├── CursorInvalid         not a cursor that this gateway gave
│   └── EventInvalid          an event that can not be stored
├── MediaTypeUnsupported      a body of a kind that is not taken here
├── Unavailable               a substitute does not exist; the caller may try again
│   ├── NothingToAnswer       no source of recommendations answered
│   ├── RetrieverUnavailable  the catalogue can not be read or written
│   ├── EncoderUnavailable    an item can not be embedded
│   ├── ProfilesUnavailable   events can not be read or written
│   └── ErasureIncomplete     a user's events are erased, what was made of their words is not
├── LadderInvalid             the ladder artefact can not be used; the gateway does not start
└── ProfilesUrlInvalid        the URL of the store of events is none; the gateway does not start
"""


class GatewayError(Exception):
    """Base of all errors of the gateway; the message says what was wrong, the value and the remedy."""


class ItemUnknown(GatewayError):
    """The catalogue holds no item of this id."""

    def __init__(self, item_id: str) -> None:
        super().__init__(f"The catalogue holds no item {item_id!r}; GET /v1/items?query=... finds ids by title.")


class UserUnknown(GatewayError):
    """Nothing is stored of this user."""

    def __init__(self, user_id: str) -> None:
        super().__init__(f"Nothing is stored of user {user_id!r}; POST /v1/events stores what a user did.")


class RequestRefused(GatewayError):
    """The request is well-formed, but what it asks for makes no sense."""


class IdMismatch(RequestRefused):
    """The id in the body is not the one in the path."""

    def __init__(self, in_path: str, in_body: str) -> None:
        super().__init__(f"The path names item {in_path!r}, the body {in_body!r}; send the same id in both.")


class CursorInvalid(RequestRefused):
    """Not a cursor that this gateway gave."""

    def __init__(self, cursor: str) -> None:
        super().__init__(f"{cursor[:80]!r} is not a cursor of this API; send next_cursor of the page before, or none to start.")


class EventInvalid(RequestRefused):
    """An event that can not be stored."""


class MediaTypeUnsupported(GatewayError):
    """A body of a kind that is not taken here."""


class Unavailable(GatewayError):
    """A substitute does not exist; the caller may try again."""


class NothingToAnswer(Unavailable):
    """No source of recommendations answered."""


class RetrieverUnavailable(Unavailable):
    """The catalogue can not be read or written."""


class EncoderUnavailable(Unavailable):
    """An item can not be embedded."""


class ProfilesUnavailable(Unavailable):
    """Events can not be read or written."""


class ErasureIncomplete(Unavailable):
    """A user's events are erased, what was made of their words is not."""


class LadderInvalid(GatewayError):
    """The ladder artefact can not be used."""


class ProfilesUrlInvalid(GatewayError):
    """The URL of the store of events is none."""
