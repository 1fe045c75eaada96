"""Where in a cell is most ATP made? Four passages, asked by vectors alone and then reranked.

python examples/cells.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from search import Document, Searcher, Settings
from search.settings import EdgeSettings

EMBEDDED = {"index": EdgeSettings()}  # also where settings name a server
PASSAGES = {
    "glycolysis": "In the liquid of the cell, glucose is split in ten steps. The cell gains two molecules of ATP from it.",
    "mitochondrion": "On the folded inner membrane of the mitochondrion, a gradient of protons turns a tiny wheel, which makes "
    "some thirty molecules of ATP of each glucose: by far the largest part.",
    "muscle": "A muscle uses ATP wherever it pulls. What is stored lasts for a few seconds, and then it has to be made anew.",
    "nucleus": "The nucleus of the cell holds nearly all of its genes. Behind its double membrane they are copied into RNA.",
}
QUESTION = "Where in a cell is most ATP made?"


def main() -> None:
    """Print both orders."""
    with TemporaryDirectory() as folder, Searcher(Settings(data_dir=Path(folder)).model_copy(update=EMBEDDED)) as searcher:
        searcher.ingest(Document(id=name, text=text) for name, text in PASSAGES.items())
        print(QUESTION)
        found = {"by vectors": searcher.search(QUESTION, retrieval="dense", rerank=False), "reranked": searcher.search(QUESTION)}
        for way, result in found.items():
            print(f"{way}:", " > ".join(hit.document_id for hit in result.hits))


if __name__ == "__main__":
    main()
