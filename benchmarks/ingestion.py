"""How much does an ingestion cost beside its embedding, how much when nothing has changed, and how much memory?

    .venv/bin/python benchmarks/ingestion.py            # some fifteen minutes
    .venv/bin/python benchmarks/ingestion.py memory     # only that

Throughput: folders of Markdown files of 100 to 200 tokens with the bundled embedder: documents a second of an ingestion from the
files into an embedded collection, and of embedding such passages alone, in turns. Unchanged: a folder of 20,000 such files,
ingested and ingested again. Memory: the highest anonymous memory (RssAnon) of a process that ingests 20,000 and 200,000 documents,
with a tiny embedder of random weights, since only what grows with the number of documents matters here.
"""

import argparse
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import record

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

WORDS = ["harbour", "winter", "engine", "copper", "letter", "garden", "signal", "mountain", "paper", "river", "glass", "market"]
FILES, ROUNDS, ROUND = 20_000, 4, 800

MEMORY = """
import sys, threading, time
from search import Document, Settings, open_search
peak = 0
def watch():
    global peak
    while True:
        line = next(line for line in open("/proc/self/status") if line.startswith("RssAnon"))
        peak = max(peak, int(line.split()[1]))
        time.sleep(0.05)
threading.Thread(target=watch, daemon=True).start()
def documents(count):
    for i in range(count):
        yield Document(id=f"document-{i}", text=f"Document {i}. " + "Some words that say nothing. " * 20)
with open_search(Settings(data_dir=sys.argv[1], embedder={"model": sys.argv[2]})) as searcher:
    report = searcher.ingest(documents(int(sys.argv[3])))
print(peak, report.added, report.seconds)
"""


def text(draw: random.Random) -> str:
    """Sentences of 100 to 200 tokens in all."""
    wanted = draw.randrange(85, 165)
    words: list[str] = []
    while len(words) < wanted:
        sentence = [draw.choice(WORDS) for _ in range(draw.randrange(5, 15))]
        words += [sentence[0].capitalize(), *sentence[1:-1], f"{sentence[-1]}."]
    return "# " + " ".join(words[:4]) + "\n\n" + " ".join(words[4:]) + "\n"


def fill(folder: Path, count: int, draw: random.Random) -> Path:
    """A folder of Markdown files, a hundred to a folder below it."""
    for number in range(count):
        file = folder / f"{number // 100:03}" / f"{number:05}.md"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text(draw))
    return folder


def throughput(root: Path) -> dict[str, Any]:
    """Documents a second, end to end and by embedding alone, in turns over folders of their own."""
    from search import Settings, open_search
    from search.documents import Document
    from search.ingestion.chunking import Chunker
    from search.reading import Reading

    draw = random.Random(1)  # noqa: S311  # no secret
    taken: dict[str, list[float]] = {"ingestion": [], "embedding": []}
    with open_search(Settings(data_dir=root / "throughput")) as searcher:
        embedder = searcher.embedder
        chunker = Chunker(embedder.tokenizer, searcher.settings.chunking.tokens, searcher.settings.chunking.overlap)
        tokens = []
        for turn in range(2 * ROUNDS + 1):
            folder = fill(root / f"round{turn}", ROUND, draw)
            documents = [item for item in Reading([str(folder)]) if isinstance(item, Document)]
            passages = [chunk.passage for document in documents for chunk in chunker.chunk(document)]
            tokens += [tally.tokens for tally in embedder.tokenizer.tally(passages)]
            started = time.perf_counter()
            if turn % 2:
                searcher.ingest(Reading([str(folder)]))
            else:
                for first in range(0, len(passages), 256):
                    embedder.embed_passages(passages[first : first + 256])
            if turn:  # the first warms up
                taken["ingestion" if turn % 2 else "embedding"].append(ROUND / (time.perf_counter() - started))
    rates = {name: statistics.median(values) for name, values in taken.items()}
    share = rates["ingestion"] / rates["embedding"]
    return {"tokens_median": statistics.median(tokens), "documents_per_s": rates, "rounds": taken, "share_of_embedding": share}


def unchanged(root: Path) -> dict[str, Any]:
    """Seconds of a first run over 20,000 files, and of further ones."""
    from search import Settings, open_search
    from search.reading import Reading

    folder = fill(root / "many", FILES, random.Random(2))  # noqa: S311  # no secret
    seconds = []
    for _ in range(4):
        with open_search(Settings(data_dir=root / "unchanged")) as searcher:
            _ = searcher.embedder  # loaded beforehand, in both cases
            started = time.perf_counter()
            report = searcher.ingest(Reading([str(folder)]), sync=True)
            seconds.append(time.perf_counter() - started)
    again = statistics.median(seconds[1:])
    return {"files": FILES, "first_s": seconds[0], "again_s": again, "share": again / seconds[0], "unchanged": report.unchanged}


def memory(root: Path) -> dict[str, Any]:
    """Highest anonymous memory in MB, by number of documents."""
    from tiny import tiny_model

    model = tiny_model(root / "model", "encoder", pooling="mean")
    found: dict[str, Any] = {}
    for count in (20_000, 200_000):
        data = root / f"memory{count}"
        command = [sys.executable, "-c", MEMORY, str(data), str(model), str(count)]
        peak, added, took = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        found[str(count)] = {"peak_mb": int(peak) / 1000, "added": int(added), "seconds": float(took)}
        shutil.rmtree(data)
    found["ratio"] = found["200000"]["peak_mb"] / found["20000"]["peak_mb"]
    return found


def main() -> None:
    """Measure, and write benchmarks/results/ingestion.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=["throughput", "unchanged", "memory"], help="default: everything")
    chosen = parser.parse_args().what or ["throughput", "unchanged", "memory"]
    file = record.RESULTS / "ingestion.json"
    figures = json.loads(file.read_text())["figures"] if file.is_file() else {}
    parts = {"throughput": throughput, "unchanged": unchanged, "memory": memory}
    with tempfile.TemporaryDirectory() as root:
        for name in chosen:
            figures[name] = parts[name](Path(root))
    record.write("ingestion", figures)


if __name__ == "__main__":
    main()
