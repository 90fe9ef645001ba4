"""Answers searches that ask alike as one search with more rows. Knows nothing of threads and HTTP.

A row's answer does not depend on the rows beside it, so each search gets what it would have got by itself, errors included.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from retriever.backends.protocol import Backend
from retriever.errors import DeadlineMissed
from retriever.inquiry import Inquiry, Outcome
from retriever.search import search

MOST_NUMBERS = 4_096
"""In the embeddings of one search (ten of 384 dimensions); a longer one would keep those beside it waiting."""


def alike(inquiry: Inquiry) -> Hashable | None:
    """Inquiries for which this is equal can be answered together; None for one that is to be answered by itself."""
    of = next(iter(inquiry.searches.values()))
    if len(inquiry.searches) > 1 or of.queries is None or of.queries.size > MOST_NUMBERS or inquiry.exact:
        return None
    if inquiry.filter is not None or inquiry.exclude or inquiry.fusion or inquiry.grouping or inquiry.diversity:
        return None
    return of.space, of.queries.shape[1:], inquiry.k, inquiry.effort, inquiry.fingerprint


def search_together(backend: Backend, inquiries: Sequence[Inquiry]) -> list[Outcome | Exception]:
    """What `search` gives or raises for each of `inquiries`, which must be alike; only `plan` is that of all of them."""
    late = [_expired(inquiry) for inquiry in inquiries]
    found = iter(_found(backend, [inquiry for inquiry, missed in zip(inquiries, late, strict=True) if not missed]))
    return [DeadlineMissed("queue") if missed else next(found) for missed in late]


def _found(backend: Backend, inquiries: Sequence[Inquiry]) -> list[Outcome | Exception]:
    if len(inquiries) > 1:
        try:
            return list(_joined(backend, inquiries))
        except Exception:  # noqa: S110  # it may be the fault of one: each is asked by itself, and only the faulty one fails
            pass
    return [_alone(backend, inquiry) for inquiry in inquiries]


def _alone(backend: Backend, inquiry: Inquiry) -> Outcome | Exception:
    try:
        return search(backend, inquiry)
    except Exception as error:
        return error


def _joined(backend: Backend, inquiries: Sequence[Inquiry]) -> Iterator[Outcome | Exception]:
    """Raises what `search` raises, and ValueError when the numbers of one are not those of whole embeddings."""
    (searched,) = inquiries[0].searches.values()
    queries = [one.queries for inquiry in inquiries for one in inquiry.searches.values() if one.queries is not None]
    together = replace(searched, queries=np.concatenate(queries))
    least = max(inquiry.min_generation for inquiry in inquiries)
    outcome = search(backend, replace(inquiries[0], searches={"": together}, min_generation=least, deadline=None))
    dimension, start = sum(of.size for of in queries) // len(outcome.results), 0
    for inquiry, of in zip(inquiries, queries, strict=True):
        rows, rest = divmod(of.size, dimension)
        if rest:
            raise ValueError(f"{of.size} numbers are not embeddings of {dimension}")
        (name,) = inquiry.searches
        results = [replace(result, search=name, row=row) for row, result in enumerate(outcome.results[start : start + rows])]
        start += rows
        yield DeadlineMissed("search") if _expired(inquiry) else replace(outcome, results=results)


def _expired(inquiry: Inquiry) -> bool:
    return inquiry.deadline is not None and inquiry.deadline.expired
