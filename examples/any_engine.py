"""From the embedded engine to a Qdrant server without changing a line: settings alone say which.

python examples/any_engine.py
SEARCH_INDEX__ENGINE=qdrant SEARCH_INDEX__URL=http://127.0.0.1:6333 python examples/any_engine.py
"""

import uuid
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
        settings = Settings(data_dir=folder, collection=f"example-{uuid.uuid4()}")  # a name that nobody has
        with Searcher(settings) as searcher:
            try:
                print(f"{settings.index.engine}: {searcher.ingest(DOCUMENTS).added} added")
                for hit in searcher.search("Who dances?", limit=2).hits:
                    print(f"{hit.rank}. {hit.document_id}: {hit.text}")
            finally:
                remove(searcher, settings.collection)


def remove(searcher: Searcher, name: str) -> None:
    """Remove what was made on a server, where the name leads to it; an embedded collection goes with its folder."""
    collections = searcher.collections
    if made := collections.aliases().get(name):
        collections.unalias(name)
        collections.drop(made)


if __name__ == "__main__":
    main()
