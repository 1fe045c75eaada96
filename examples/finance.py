"""Questions about the filings of a company, one passage a paragraph; filtered by year.

python examples/finance.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from search import Document, Searcher, Settings
from search.settings import EdgeSettings

EMBEDDED = {"index": EdgeSettings()}  # also where settings name a server
FILINGS = {  # of companies that do not exist
    ("Nordlicht Energy", 2023): [
        "Revenue rose by 12 % to 4.1 billion euros, mostly since electricity from our wind parks was sold at higher prices.",
        "Net debt fell to 1.9 billion euros, or 2.3 times EBITDA; bonds of 500 million euros were repaid in March.",
        "A storm damaged eleven turbines at sea. Repairs will cost about 60 million euros, of which insurers bear two thirds.",
        "The board proposes a dividend of 0.85 euros a share, five cents more than in the year before.",
    ],
    ("Nordlicht Energy", 2024): [
        "Revenue fell by 6 % to 3.9 billion euros, as prices on the exchange came down and the summer had little wind.",
        "Net debt rose to 2.6 billion euros, since we bought the grid of three northern districts.",
        "We write off 140 million euros on the factory for hydrogen, whose customers have put off their orders.",
        "The board proposes to pay no dividend for this year.",
    ],
    ("Calloway Foods", 2024): [
        "Revenue grew by 3 % to 2.2 billion dollars; volumes shrank, and prices were raised by 5 % on average.",
        "Cocoa cost us 71 % more than in the year before. We have hedged four fifths of next year's need.",
        "A former supplier sues us for 90 million dollars over a contract that we ended; we hold the claim to be unfounded.",
        "We recalled one batch of baby food in May, and nobody fell ill.",
    ],
}
QUESTIONS = [
    ("Why did sales go down?", {"must": [{"key": "metadata.company", "match": {"value": "Nordlicht Energy"}}]}),
    ("Do shareholders get any money?", {"must": [{"key": "metadata.year", "match": {"value": 2024}}]}),
    ("What lawsuits are there?", None),
    ("How much does it owe compared with its earnings?", None),
    ("Which assets lost their value?", None),
]


def main() -> None:
    """Print the best passage for each question, with where it stands."""
    with TemporaryDirectory() as folder, Searcher(Settings(data_dir=Path(folder)).model_copy(update=EMBEDDED)) as searcher:
        searcher.ingest(
            Document(id=f"{company} {year} §{number}", text=text, metadata={"company": company, "year": year})
            for (company, year), passages in FILINGS.items()
            for number, text in enumerate(passages, 1)
        )
        for question, condition in QUESTIONS:
            (hit,) = searcher.search(question, limit=1, filter=condition).hits
            print(f"{question}\n  {hit.document_id}: {hit.text}")


if __name__ == "__main__":
    main()
