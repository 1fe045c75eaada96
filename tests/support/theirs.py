"""Collections as other programs fill them, with the bundled model."""

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from qdrant_client import QdrantClient, models
from standin import QdrantStandIn

from search import Settings

FACTS = {
    "cats": ("Cats sleep most of the day, wherever it is warm.", "How much do cats sleep?"),
    "tides": ("The tides of the sea follow the moon.", "What causes high and low water at the coast?"),
    "bread": ("Dough rises because yeast makes gas.", "Why does bread dough rise?"),
    "iron": ("Iron rusts where it meets water and air.", "What makes iron rust?"),
    "bees": ("Bees dance to tell each other where flowers are.", "How do bees tell others about flowers?"),
    "rome": ("Rome was ruled by emperors after Augustus.", "Who ruled Rome?"),
    "snow": ("Snow is white since its crystals scatter all light.", "Why is snow white?"),
    "tea": ("Tea was first grown in China.", "Where does tea come from?"),
    "gold": ("Gold does not tarnish, so it is used in jewellery.", "Which metal keeps its shine?"),
    "owls": ("Owls fly without a sound thanks to soft feathers.", "Why are owls so quiet in flight?"),
}
Payload = dict[str, Any]


def llama_index(name: str, text: str) -> Payload:
    node = {"id_": str(uuid.uuid4()), "metadata": {"file_name": f"{name}.md", "of": "facts"}, "text": text}
    node |= {"excluded_embed_metadata_keys": ["of"], "metadata_template": "{key}: {value}", "metadata_separator": "\n"}
    node |= {"text_template": "{metadata_str}\n\n{content}", "class_name": "TextNode"}
    flat = {"file_name": f"{name}.md", "doc_id": str(uuid.uuid5(uuid.NAMESPACE_OID, name)), "_node_type": "TextNode"}
    return {"_node_content": json.dumps(node), **flat}


LAYOUTS: dict[str, tuple[Callable[[str, str], Payload], str, str]] = {
    "LangChain": (lambda name, text: {"page_content": text, "metadata": {"source": f"{name}.md"}}, "", "metadata.source"),
    "LangChain.js": (lambda name, text: {"content": text, "metadata": {"source": f"{name}.md"}}, "", "metadata.source"),
    "LlamaIndex": (llama_index, "", "file_name"),
    "LlamaIndex, hybrid": (llama_index, "text-dense", "file_name"),
    "Haystack": (
        lambda name, text: {"id": name * 9, "content": text, "meta": {"file_path": f"{name}.md"}, "score": None},
        "",
        "meta.file_path",
    ),
    "Qdrant's MCP server": (
        lambda name, text: {"document": text, "metadata": {"path": f"{name}.md"}},
        "fast-all-minilm-l6-v2",
        "metadata.path",
    ),
    "Open WebUI": (
        lambda name, text: {"text": text, "metadata": {"source": f"{name}.md"}, "tenant_id": "a"},
        "",
        "metadata.source",
    ),
    "its own": (lambda name, text: {"answer_text": text, "lang": "en", "url": f"{name}.md"}, "", "url"),
}


class Embeds(Protocol):
    """What makes the vectors of such a collection."""

    dimension: int

    def embed_passages(self, texts: list[str]) -> Any: ...


def fill(
    client: QdrantClient,
    embedder: Embeds,
    payload: Callable[[str, str], Payload] = LAYOUTS["LangChain"][0],
    vector: str = "",
    name: str = "theirs",
    distance: models.Distance = models.Distance.COSINE,
    factor: float = 1.0,
) -> None:
    """A collection as another program makes it, with the bundled model."""
    params = models.VectorParams(size=embedder.dimension, distance=distance)
    sparse = {"text-sparse-new": models.SparseVectorParams()} if vector == "text-dense" else None
    client.create_collection(name, {vector: params} if vector else params, sparse_vectors_config=sparse)
    texts = {key: f"file_name: {key}.md\n\n{text}" if payload is llama_index else text for key, (text, _) in FACTS.items()}
    vectors = factor * embedder.embed_passages(list(texts.values()))
    points = []
    for number, ((key, (text, _)), made) in enumerate(zip(FACTS.items(), vectors.tolist(), strict=True)):
        point_id: int | str = number if distance == models.Distance.DOT else str(uuid.uuid4())
        points.append(models.PointStruct(id=point_id, vector={vector: made} if vector else made, payload=payload(key, text)))
    client.upsert(name, points)


def on(standin: QdrantStandIn, tmp_path: Path, **more: Any) -> Settings:
    return Settings(data_dir=tmp_path, index=standin.index, collection="theirs", **more)
