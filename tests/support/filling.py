"""Run where the libraries of others are installed: fills a collection of a Qdrant server with one of them.

    python filling.py LIBRARY URL COLLECTION < texts.json

The texts come with their vectors, as [{"name": …, "text": …, "vector": […]}, …]; LlamaIndex embeds metadata, too, so that its texts
are first told to whoever has the embedder: `python filling.py texts < texts.json`.
"""

import json
import sys
from typing import Any


def langchain(url: str, collection: str, facts: list[dict[str, Any]]) -> None:
    from langchain_core.embeddings import Embeddings
    from langchain_qdrant import QdrantVectorStore

    vectors = {fact["text"]: fact["vector"] for fact in facts}

    class Known(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [vectors.get(text, facts[0]["vector"]) for text in texts]  # it asks for one of its own, to learn the dimension

        def embed_query(self, text: str) -> list[float]:
            return self.embed_documents([text])[0]

    metadatas = [{"source": f"{fact['name']}.md"} for fact in facts]
    QdrantVectorStore.from_texts(list(vectors), Known(), metadatas=metadatas, url=url, collection_name=collection)


def haystack(url: str, collection: str, facts: list[dict[str, Any]]) -> None:
    from haystack import Document
    from haystack_integrations.document_stores.qdrant import QdrantDocumentStore

    store = QdrantDocumentStore(url=url, index=collection, embedding_dim=len(facts[0]["vector"]))
    store.write_documents(
        [Document(content=fact["text"], embedding=fact["vector"], meta={"file_path": f"{fact['name']}.md"}) for fact in facts]
    )


def nodes_of(facts: list[dict[str, Any]]) -> list[Any]:
    from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode

    return [
        TextNode(
            text=fact["text"],
            metadata={"file_name": f"{fact['name']}.md"},
            relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=fact["name"])},
        )
        for fact in facts
    ]


def llama_index(url: str, collection: str, facts: list[dict[str, Any]]) -> None:
    from llama_index.vector_stores.qdrant import QdrantVectorStore
    from qdrant_client import QdrantClient

    nodes = nodes_of(facts)
    for node, fact in zip(nodes, facts, strict=True):
        node.embedding = fact["vector"]
    QdrantVectorStore(collection_name=collection, client=QdrantClient(url=url, check_compatibility=False)).add(nodes)


if __name__ == "__main__":
    given = json.load(sys.stdin)
    if sys.argv[1] == "texts":
        from llama_index.core.schema import MetadataMode

        print(json.dumps([node.get_content(MetadataMode.EMBED) for node in nodes_of(given)]))
    else:
        _, library, url, collection = sys.argv
        {"langchain": langchain, "haystack": haystack, "llama_index": llama_index}[library](url, collection, given)
