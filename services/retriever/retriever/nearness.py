"""What the sources of a recommendation ask of a vector space, wherever its vectors lie. Knows neither FAISS nor Milvus.

Rows are numbers that stand for items within one request. A `Space` is `retriever.vectorspace.VectorSpace` on this machine, and in Milvus
`retriever.backends.milvus.stock.MilvusStock` itself.
"""

from typing import Protocol, TypeVar

from retriever.items import Floats, Rows
from retriever.plan import Found
from retriever.spread import Moments


class Choice(Protocol):
    """The items that a filter and the exclusions leave."""

    @property
    def count(self) -> int:
        """How many they are."""

    def rows(self) -> Rows:
        """All of them, ascending."""


A = TypeVar("A", bound=Choice)
A_contra = TypeVar("A_contra", bound=Choice, contravariant=True)


class Space(Protocol[A_contra]):
    """The vectors of one space, which may be too many to look at each."""

    @property
    def dimension(self) -> int: ...

    @property
    def moments(self) -> Moments:
        """Of all vectors, or of a sample of them."""

    def take(self, numbers: Rows, /) -> Floats:
        """The vectors `(n, dim)`."""

    def products(self, queries: Floats, numbers: Rows, /) -> Floats:
        """Inner products `(q, n)`."""

    def search(self, queries: Floats, n: int, allowed: A_contra, /) -> Found:
        """The `n` nearest allowed rows for each of `queries` `(q, dim)`."""

    def nearest(self, queries: Floats, n: int, allowed: A_contra, /) -> Found:
        """The same, exactly where that costs little."""
