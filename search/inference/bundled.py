"""The models of this package as FastEmbed would run them, to the last bit, without its import, which takes a third of a second."""

import json
import mmap
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer

from search.inference.runtime import Provider
from search.inference.session import Session, feed
from search.inference.tokens import copied
from search.models import ModelFolder
from search.models.files import read_bytes, read_json
from search.settings import CudaSettings

_LEAST = 1e-12  # of a vector's length, as in FastEmbed's normalize
_TABLE = "words.table"  # the vectors of tokens, half of a graph's file, of which a text needs a few
_TOKENS = 384  # of a batch that run at a time; all 4,096 take 200 MB more and no less time


def is_bundled(folder: ModelFolder | None) -> TypeGuard[ModelFolder]:
    """Whether it is a model of this package, whose files are as they were released."""
    return folder is not None and folder.verified is not None


class BundledModel:
    """A BERT model whose files were compared with the manifest; what FastEmbed checks of a model needs no check here.

    Attributes:
        model: runs the graph, as ONNX Runtime's session does.
        tokenizer: cuts texts to the window, and pads batches to their longest.
    """

    def __init__(self, folder: ModelFolder, provider: Provider, threads: int | None) -> None:
        graph = folder.path / folder.graph
        weights = {_TABLE: _mapped(graph, _TABLE).reshape(-1, folder.config["hidden_size"])}
        self.model = _FewRows(Session(graph, provider, threads, CudaSettings(), weights))
        self.tokenizer = _tokenizer(folder)

    def query_embed(self, query: str) -> NDArray[np.float32]:
        """The vector of a query, float32 (1, dimension)."""
        return self.passage_embed([query])

    def passage_embed(self, texts: Sequence[str], batch_size: int | None = None) -> NDArray[np.float32]:  # noqa: ARG002  # FastEmbed's
        """The mean vectors of the texts' tokens, float32 (n, dimension), of length 1; all texts in one batch."""
        tokens = feed(self.model, self.tokenizer.encode_batch(list(texts)))
        vectors = self.model.run(None, tokens)[0]
        mask = tokens["attention_mask"]
        means = np.sum(vectors, axis=1, where=mask[:, :, None].astype(bool), dtype=np.float64)
        means /= np.maximum(mask.sum(axis=1, keepdims=True), 1e-9)
        unit: NDArray[np.float32] = (means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), _LEAST)).astype(np.float32)
        return unit


class _FewRows:
    """A session that runs a few rows of a batch at a time, which none of the bundled graphs' operators sees."""

    def __init__(self, session: Session) -> None:
        self.get_inputs = session.raw.get_inputs
        self._session = session

    def run(self, outputs: None, tokens: Mapping[str, NDArray[np.int64]]) -> list[NDArray[np.float32]]:
        """As ONNX Runtime's own, of the first output."""
        count, length = tokens["input_ids"].shape
        step = max(1, _TOKENS // length)
        parts = [
            self._session.raw.run(outputs, {name: rows[start : start + step] for name, rows in tokens.items()})[0]
            for start in range(0, count, step)
        ]
        return [np.concatenate(parts)]


def _mapped(graph: Path, name: str) -> NDArray[np.int8]:
    """A tensor of a graph's file, one byte a number, of which only what is used is ever in memory."""
    with graph.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    field = b"\x42" + bytes([len(name)]) + name.encode() + b"\x4a"  # in onnx.proto, a tensor's name, and then its raw_data
    place = mapped.find(field) + len(field)
    size = shift = 0
    while True:
        byte = mapped[place]
        place += 1
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:  # noqa: PLR2004  # as varints end
            return np.frombuffer(mapped, np.int8, size, place)


def _tokenizer(folder: ModelFolder) -> Any:
    """As FastEmbed sets it up: the window of tokenizer_config.json, padding to the longest."""
    config = read_json(folder.path / "tokenizer_config.json")
    beginning, mark, rest = read_bytes(folder.path / "tokenizer.json").partition(b'"normalizer"')
    tokenizer = copied(_parsed(mark + rest))
    added = json.loads(beginning.rstrip().removesuffix(b",") + b"}")["added_tokens"]
    tokenizer.add_tokens([AddedToken(**{name: value for name, value in token.items() if name != "id"}) for token in added])
    tokenizer.enable_truncation(max_length=min(config["model_max_length"], config["max_length"]))
    tokenizer.enable_padding(pad_id=folder.config["pad_token_id"], pad_token=config["pad_token"])
    return tokenizer


@lru_cache(maxsize=1)
def _parsed(rest: bytes) -> Any:
    """The tokenizer behind the added tokens, which files write in different orders; embedder and reranker share what it takes."""
    return Tokenizer.from_buffer(b'{"version": "1.0", "added_tokens": [], ' + rest)
