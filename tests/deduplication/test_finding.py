"""Near-duplicates of a collection, found with the bundled models."""

from search.documents import Document
from search.searcher import Searcher, open_search
from search.settings import Settings

CATS = "Cats sleep for most of the day, wherever it is warm, and hunt mice in the barn at night. Nobody has taught them how."
BREAD = "Dough rises because yeast makes gas. Bakers let it rest for two hours before they shape loaves and heat the oven."


def test_near(settings: Settings) -> None:
    with open_search(settings) as searcher:
        searcher.ingest(
            [Document("a", CATS), Document("b", CATS.upper()), Document("c", CATS.replace("hunt", "catch")), Document("d", BREAD)]
        )
        found = searcher.duplicates()
    assert [(one.representative.id, [d.document.id for d in one.duplicates]) for one in found.clusters] == [("c", ["a", "b"])], (
        found
    )
