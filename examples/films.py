"""Films by what happens in them: by vectors alone, by vectors and words, and reranked.

python examples/films.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from search import Searcher, Settings, read
from search.settings import EdgeSettings

EMBEDDED = {"index": EdgeSettings()}  # also where settings name a server
DESCRIPTIONS = {
    "a teenager hears voices from heaven and is burned for it": "The Passion of Joan of Arc",
    "somebody lives the same day over and over": "Groundhog Day",
    "an injured man spies on the people opposite and suspects a crime": "Rear Window",
    "lone hold-out persuades everybody else to change the verdict": "12 Angry Men",
    "man plays a board game against the grim reaper": "The Seventh Seal",
    "his whole life was a television programme and he did not know": "The Truman Show",
    "detective hunts androids who want to live longer": "Blade Runner",
    "prisoner escapes by a tunnel he made over many years": "The Shawshank Redemption",
    "villagers pay warriors to protect them from bandits": "Seven Samurai",
    "dying civil servant wants to do one useful thing": "Ikiru",
}
WAYS: dict[str, tuple[Literal["dense", "hybrid"], bool]] = {  # how films are found, and whether they are reranked
    "vectors": ("dense", False),
    "hybrid": ("hybrid", False),
    "reranked": ("hybrid", True),
}


def main() -> None:
    """Print where each way puts the film that is meant."""
    with TemporaryDirectory() as folder, Searcher(Settings(data_dir=Path(folder)).model_copy(update=EMBEDDED)) as searcher:
        searcher.ingest(read(Path(__file__).with_name("films.jsonl")))
        print(f"{'what happens in it':66}", *(f"{way:>8}" for way in WAYS))
        first = dict.fromkeys(WAYS, 0)
        for description, film in DESCRIPTIONS.items():
            places = {}
            for way, (retrieval, rerank) in WAYS.items():
                hits = searcher.search(description, limit=20, retrieval=retrieval, rerank=rerank).hits
                places[way] = next((hit.rank for hit in hits if hit.document_id == film), None)
                first[way] += places[way] == 1
            print(f"{description:66}", *(f"{place or '-':>8}" for place in places.values()))
        print(f"{'first':66}", *(f"{number:>8}" for number in first.values()))


if __name__ == "__main__":
    main()
