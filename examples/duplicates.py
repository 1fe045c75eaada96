"""Documents that say the same as another one, and orders that only look alike.

python examples/duplicates.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from search import Document, Searcher, Settings
from search.settings import EdgeSettings

EMBEDDED = {"index": EdgeSettings()}  # also where settings name a server
BACKUP = """The nightly backup of the shop runs at two. If it fails, call the person on duty, and do not start it again by hand:
the last whole copy would be overwritten."""
TEXTS = {
    "backup": BACKUP,
    "backup-edited": BACKUP.replace("whole", "complete").replace("again by hand", "anew by hand"),
    "backup-of-the-office": "The nightly backup of the office runs at four. If it fails, it starts again by itself.",
    "order-4711": "Order 4711 of 3 May: 40 chairs in oak, to be delivered to the warehouse in Bremen before the end of the month.",
    "order-4712": "Order 4712 of 9 May: 25 chairs in oak, to be delivered to the warehouse in Bremen before the end of the month.",
}
MEAN = """def mean(values):
    total = 0
    for value in values:
        total += value
    return total / len(values)
"""
CODE = {"mean": MEAN, "average": MEAN.replace("mean", "average").replace("value", "number").replace("total", "result")}


def main() -> None:
    """Print who stands for whom; nothing is removed."""
    with TemporaryDirectory() as folder, Searcher(Settings(data_dir=Path(folder)).model_copy(update=EMBEDDED)) as searcher:
        searcher.ingest(Document(id=name, text=text) for name, text in TEXTS.items())
        searcher.ingest(Document(id=name, text=text, media_type="text/x-python") for name, text in CODE.items())
        found = searcher.duplicates(threshold=0.9)
        for cluster in found.clusters:
            others = ", ".join(one.document.id for one in cluster.duplicates)
            print(f"{cluster.representative.id} stands for {others}")


if __name__ == "__main__":
    main()
