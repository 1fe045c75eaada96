"""Two-stage search you can install and trust: retrieve with Qdrant, rerank with an ONNX cross-encoder.

    from search import Document, Settings, open_search

    with open_search(Settings(data_dir="data")) as searcher:
        searcher.ingest([Document(id="1", text="…")])
        result = searcher.search("…")

Importing this loads no model, no ONNX Runtime and no Qdrant client; they load when they are first needed.
"""

from search.documents import Document, Hit, Rejection, SearchResult
from search.errors import SearchError
from search.searcher import Searcher, open_search
from search.settings import Settings

__all__ = ["Document", "Hit", "Rejection", "SearchError", "SearchResult", "Searcher", "Settings", "open_search"]
