"""Clauses of a contract, asked in everyday words.

python examples/clauses.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from search import Document, Searcher, Settings
from search.settings import EdgeSettings

EMBEDDED = {"index": EdgeSettings()}  # also where settings name a server
CONTRACT = {
    "4.2 Passing of risk": "Risk in the Goods shall pass to the Buyer upon delivery to the first carrier, irrespective of which "
    "party has concluded the contract of carriage.",
    "6.1 Payment": "Invoices shall fall due thirty days after receipt. Sums overdue shall bear interest at eight percentage points "
    "above the base rate.",
    "7.3 Retention of title": "Title to the Goods shall remain with the Seller until the price has been paid in full.",
    "8.1 Defects": "The Buyer shall give notice of any lack of conformity within ten days after it ought to have discovered it, "
    "failing which its rights in respect of it shall lapse.",
    "9.4 Limitation of liability": "Save in cases of wilful misconduct, the aggregate liability of either party shall not exceed "
    "the sums paid hereunder in the preceding twelve months.",
    "11.2 Force majeure": "Neither party shall be liable for a failure to perform that is due to an impediment beyond its control, "
    "such as war, strike or an act of government, for as long as it subsists.",
    "12.1 Term": "Either party may terminate this Agreement at the end of a calendar year by six months' written notice.",
    "13.5 Confidentiality": "Each party shall keep secret what it learns of the other's business, for five years after the end "
    "of the Agreement.",
    "15.1 Governing law": "This Agreement shall be governed by the laws of Switzerland; the courts of Zurich shall have exclusive "
    "jurisdiction.",
}
QUESTIONS = [
    "Who bears the loss if the goods are destroyed on the lorry?",
    "What happens if we pay late?",
    "How long do we have to complain about faulty goods?",
    "How can I get out of this contract?",
    "What is the most we could have to pay in damages?",
    "Where would we have to go to court?",
]


def main() -> None:
    """Print the clause for each question."""
    with TemporaryDirectory() as folder, Searcher(Settings(data_dir=Path(folder)).model_copy(update=EMBEDDED)) as searcher:
        searcher.ingest(Document(id=name, text=text, title=name) for name, text in CONTRACT.items())
        for question in QUESTIONS:
            first, second = searcher.search(question, limit=2).hits
            print(f"{question:62} {first.document_id}  (then {second.document_id})")


if __name__ == "__main__":
    main()
