"""Calls the encoder. Knows how embeddings travel, nothing of what they are for."""

import json
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from contracts.encoder import BINARY_MEDIA_TYPE, COUNT_HEADER, DIMENSION_HEADER, FINGERPRINT_HEADER
from contracts.wire import MAX_DIMENSION
from servicekit.client import JSON, Refused, ServiceClient, Unreachable
from servicekit.deadline import Deadline


@dataclass(frozen=True)
class EncoderClient:
    """The encoder: texts in, embeddings out."""

    service: ServiceClient

    async def embed(self, texts: Sequence[str], deadline: Deadline) -> tuple[str, list[Sequence[float]]]:
        """The fingerprint, and one embedding of unit length, float32 `(dim,)`, per text, at most 256. Raises `ServiceError`.

        A call that found a broken connection is sent once more: it changes nothing, and the encoder may have been started again.
        """
        headers = {**JSON, "accept": BINARY_MEDIA_TYPE}
        body = json.dumps({"texts": list(texts)}).encode()
        try:
            content, answered = await self.service.call("POST", "/v1/embed", deadline, body=body, headers=headers)
        except Unreachable:
            content, answered = await self.service.call("POST", "/v1/embed", deadline, body=body, headers=headers)
        count, dimension = (int(value) if (value := answered.get(name, "")).isdecimal() else 0 for name in (COUNT_HEADER, DIMENSION_HEADER))
        if count != len(texts) or not 0 < dimension <= MAX_DIMENSION or len(content) != count * dimension * 4:
            shape = f"{len(content)} bytes as {count} embeddings of {dimension} numbers, for {len(texts)} texts"
            raise Refused(f"{self.service.name} broke the contract: {shape}", 502, content)
        numbers = array("f", content)
        if sys.byteorder == "big":
            numbers.byteswap()
        rows = [numbers[at : at + dimension] for at in range(0, len(numbers), dimension)]
        return answered.get(FINGERPRINT_HEADER, ""), list(rows)
