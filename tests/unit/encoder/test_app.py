"""The encoder starts with a real model, or says in one line why it can not."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from contracts.encoder import EmbedResponse
from encoder.app import build
from encoder.canary import CANARY
from encoder.settings import Settings


async def test_the_built_application_embeds_with_the_model_of_the_setting(t5: Path, tiny: Any, tmp_path: Path) -> None:
    app = build(Settings(model=str(t5), state_dir=tmp_path / "state"))
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://encoder") as client,
    ):
        assert (await client.get("/readyz")).status_code == 200
        texts = [text for text in tiny.TEXTS if text]
        answer = EmbedResponse.model_validate_json((await client.post("/v1/embed", json={"texts": texts})).content)
        assert answer.dimension == 24
        assert answer.fingerprint.startswith("tiny-t5/fp32/mean/l2/24/256/")
        assert np.abs(np.linalg.norm(np.array(answer.embeddings), axis=1) - 1).max() < 1e-5
        words_and_end_tokens = sum(len(text.split()) + 1 for text in (*texts, CANARY, CANARY))  # at start and by /readyz
        assert f"encoder_tokens_total {words_and_end_tokens}.0" in (await client.get("/metrics")).text


@pytest.mark.parametrize(
    ("settings", "telling"),
    [
        ({"ENCODER_MODEL": "no-such-folder"}, "encoder: FileMissing: The model folder no-such-folder is not there; set ENCODER_MODEL"),
        ({"ENCODER_WEIGHTS_SHA256": "0" * 64}, "encoder: FileDamaged: "),
        ({"ENCODER_BACKEND": "magic"}, "ENCODER_BACKEND: Input should be 'onnx', "),
    ],
)
def test_a_model_that_can_not_be_opened_ends_the_process_with_one_line(settings: dict[str, str], telling: str, tmp_path: Path) -> None:
    environment = {"ENCODER_STATE_DIR": str(tmp_path), "ENCODER_PORT": "0", **settings}
    ran = subprocess.run([sys.executable, "-m", "encoder"], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode != 0
    assert ran.stderr.startswith(telling)
    assert len(ran.stderr.splitlines()) == 1
