"""From the embedded engine to a Qdrant server without changing a line: settings alone say which.

python examples/any_engine.py
SEARCH_INDEX__ENGINE=qdrant SEARCH_INDEX__URL=http://127.0.0.1:6333 python examples/any_engine.py
"""

from tempfile import TemporaryDirectory

from search import Document, Searcher, Settings

DOCUMENTS = [
    Document(id="cats", text="Cats sleep for most of the day, and hunt at dusk."),
    Document(id="owls", text="Owls see at night, and turn their heads to look behind them."),
    Document(id="bees", text="Bees tell one another by dancing where flowers are."),
]


def main() -> None:
    """Ingest, ask, and clean up."""
    with TemporaryDirectory() as folder:
        settings = Settings(data_dir=folder, collection="example-of-engines")
        with Searcher(settings) as searcher:
            print(f"{settings.index.engine}: {searcher.ingest(DOCUMENTS, sync=True, max_delete=1.0).added} added")
            for hit in searcher.search("Who dances?", limit=2).hits:
                print(f"{hit.rank}. {hit.document_id}: {hit.text}")
            searcher.delete(ids=[document.id for document in DOCUMENTS])


if __name__ == "__main__":
    main()
