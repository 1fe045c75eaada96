"""An assistant that answers from documents and cites them, over any endpoint that speaks OpenAI's format.

OPENAI_BASE_URL=http://127.0.0.1:8080/v1 python examples/assistant.py
"""

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx

from search import Document, Searcher, Settings, citations
from search.settings import EdgeSettings

EMBEDDED = {"index": EdgeSettings()}  # also where settings name a server
HANDBOOK = {
    "leave": "Everybody has thirty days of leave a year. Ten of them may be taken into the next year, until the end of March.",
    "travel": "Journeys of less than four hours are made by train, second class. Hotels may cost 120 euros a night.",
    "illness": "Whoever is ill calls before nine. From the fourth day on we need a note from a doctor.",
    "laptops": "A laptop is replaced after four years. The old one may be bought for a tenth of its price.",
}
QUESTION = "How much leave can I take into next year?"


def main() -> None:
    """Ask the model, and lead its citations back to the documents."""
    with TemporaryDirectory() as folder, Searcher(Settings(data_dir=Path(folder)).model_copy(update=EMBEDDED)) as searcher:
        searcher.ingest(Document(id=name, text=text) for name, text in HANDBOOK.items())
        context = searcher.search(QUESTION, limit=2).context(max_tokens=500, form="messages")
    answer = answered(list(context.messages))
    print(f"{QUESTION}\n{answer}")
    for source in citations(answer, context).sources:
        print(f"[{source.number}] {source.document_id}, characters {source.start} to {source.end}")


def answered(messages: list[object]) -> str:
    """What the model says."""
    url = os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1")
    headers = {"Authorization": f"Bearer {os.environ.get('OPENAI_API_KEY', 'none')}"}
    body = {"model": os.environ.get("OPENAI_MODEL", "any"), "messages": messages}
    try:
        reply = httpx.post(f"{url}/chat/completions", json=body, headers=headers, timeout=600)
    except httpx.TransportError as error:
        sys.exit(f"no model answers at OPENAI_BASE_URL ({error}): start one on port 8080 of this machine, or name another place")
    if not reply.is_success:
        sys.exit(f"the model answered with HTTP {reply.status_code}: see to OPENAI_BASE_URL, OPENAI_MODEL and OPENAI_API_KEY")
    return str(reply.json()["choices"][0]["message"]["content"])


if __name__ == "__main__":
    main()
