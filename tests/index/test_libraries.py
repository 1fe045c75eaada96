"""Collections that LangChain, LlamaIndex and Haystack wrote themselves are searched with one command and no settings."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from commands import as_json, error
from standin import QdrantStandIn
from theirs import FACTS

from search.embedding.dense import FastEmbedEmbedder

PYTHON = Path(__file__).parents[2] / ".venv-theirs" / "bin" / "python"
FILLING = Path(__file__).parents[1] / "support" / "filling.py"

pytestmark = pytest.mark.skipif(
    not PYTHON.exists(), reason="there is no .venv-theirs with the libraries of others (.ci/run makes it)"
)


def told(*arguments: str, facts: list[dict[str, Any]]) -> str:
    environment = {**os.environ, "HAYSTACK_TELEMETRY_ENABLED": "False", "DO_NOT_TRACK": "1"}
    command = [str(PYTHON), str(FILLING), *arguments]
    done = subprocess.run(command, input=json.dumps(facts), check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.timeout(300)
@pytest.mark.parametrize("library", ["langchain", "haystack", "llama_index"])
def test_what_a_library_wrote_is_searched_and_reranked(
    library: str, standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, model_folder: Path, tmp_path: Path
) -> None:
    facts: list[dict[str, Any]] = [{"name": name, "text": text} for name, (text, _) in FACTS.items()]
    texts = json.loads(told("texts", facts=facts)) if library == "llama_index" else [fact["text"] for fact in facts]
    for fact, vector in zip(facts, bundled_embedder.embed_passages(texts), strict=True):
        fact["vector"] = vector.tolist()
    told(library, standin.url, "theirs", facts=facts)
    chosen = {"SEARCH_INDEX__ENGINE": "qdrant", "SEARCH_INDEX__URL": standin.url}
    for name, (text, question) in FACTS.items():
        answer = as_json("query", question, "--collection", "theirs", "--data-dir", tmp_path, **chosen)
        first = answer["hits"][0]
        assert (first["document_id"], first["text"]) == (f"{name}.md", text)
        assert answer["rerank_status"] == "full"
    wrong = {**chosen, "SEARCH_EMBEDDER__MODEL": str(model_folder / "embedder-mean")}
    assert "with another embedder" in error("query", "cats", "--collection", "theirs", "--data-dir", tmp_path, **wrong)
