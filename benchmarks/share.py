"""How much should the bundled reranker count, over vectors and words and over vectors alone? On train queries.

    .venv/bin/python benchmarks/share.py --unseen PAIRS/sentences-medquad:train DATASETS/scifact:train DATASETS/nq-qed:train …

Each argument is a BEIR folder and its judgements. Queries are those that training held out (`training.mining.carve`), for all
three purposes together, if it was trained on these very folders; of data sets that are --unseen nothing was taught. What is best
by the rule of `training.tuning.best_weight` belongs into the recipe: the mean over the unseen counts as much as that over all
others, and none may lose.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import record

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

from training.mining import Miner, carve
from training.preparation import PARTS
from training.tuning import HeldOut, best_weight, means, score, weight_curve

from search.documents import Retrieval
from search.evaluation.corpus import embed_corpus
from search.evaluation.datasets import load_dataset
from search.factory import build_corpus_index, build_embedder, build_reranker, build_words
from search.settings import Settings

SEED, DEPTH = 0, 20
RETRIEVALS: tuple[Retrieval, ...] = ("hybrid", "dense")


def held_out(sources: list[str], each: int, settings: Settings, retrieval: Retrieval) -> Iterator[HeldOut]:
    """Queries of each data set with what the first stage finds for them; those without a relevant passage are left out."""
    embedder, words = build_embedder(settings), build_words(settings)
    for source in sources:
        folder, _, split = source.rpartition(":")
        dataset = load_dataset(Path(folder), split)
        index = build_corpus_index(settings, dataset.corpus_hash, embedder)
        embed_corpus(dataset, embedder, index, lambda *_: None, words.description, words)
        miner = Miner(dataset, embedder, index, words, depth=DEPTH, retrieval=retrieval)
        known = {document.id for document in dataset.documents}
        carved = carve(dataset, dict.fromkeys(PARTS, each), SEED)
        queries = [query for part in PARTS for query in carved[part]]
        for query in queries:
            if any(grade > 0 and document in known for document, grade in dataset.qrels[query].items()):
                yield HeldOut(dataset.name, "choose", dataset.queries[query], tuple(miner.candidates(query)), dataset.qrels[query])
        index.close()
        print(f"{dataset.name}: {len(queries)} queries over {len(dataset.documents):,} passages", flush=True)


def main() -> None:
    """Score once, try all shares, and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", nargs="+", metavar="FOLDER:SPLIT")
    parser.add_argument("--unseen", action="append", default=[], metavar="FOLDER:SPLIT")
    parser.add_argument("--held-out", type=int, default=40, help="queries of each data set for each of three purposes")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "search-benchmarks")
    arguments = parser.parse_args()
    settings = Settings(data_dir=arguments.cache)
    reranker = build_reranker(settings)
    assert reranker is not None  # noqa: S101  # the bundled one
    unseen = {Path(source.rpartition(":")[0]).name for source in arguments.unseen}
    figures: dict[str, Any] = {"unseen": sorted(unseen), "queries": {}}
    for retrieval in RETRIEVALS:
        queries = list(held_out([*arguments.sources, *arguments.unseen], arguments.held_out, settings, retrieval))
        figures["queries"] = Counter(query.dataset for query in queries)
        curve = weight_curve(queries, score(queries, reranker))
        gains = {weight: {name: values[name] - curve[0.0][name] for name in values} for weight, values in curve.items()}
        best = best_weight(curve, unseen)
        told = {weight: means(by_dataset) for weight, by_dataset in gains.items()}
        figures[retrieval] = {"best share": best, "retrieval": means(curve[0.0]), "gain by share": told}
        for weight, gain in told.items():
            taught, others = (
                np.mean([value for name, value in gain.items() if (name in unseen) is kind]) for kind in (False, True)
            )
            both, mark = (taught + others) / 2, "  best" if weight == best else ""
            print(f"{retrieval}, {weight:.2f}: taught {taught:+.4f}, unseen {others:+.4f}, both {both:+.4f}{mark}")
    record.write("share", figures)


if __name__ == "__main__":
    main()
