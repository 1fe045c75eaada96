"""What does a run learn from, and what does it not? Queries carved off, candidates mined, examples drawn: once, before training."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from search.errors import InvalidDataset
from search.evaluation.corpus import embed_corpus
from search.evaluation.datasets import Dataset
from search.factory import build_corpus_index, build_embedder, build_reranker, build_words
from search.reranking.contract import Reranker
from search.settings import Settings
from training import mixture, tuning
from training.copies import Known
from training.mining import Miner, Pool, carve
from training.mixture import Example, Texts
from training.tuning import HeldOut

PARTS = ("choose", "calibrate", "check")  # what queries are held out for


@dataclass(frozen=True)
class Preparation:
    """How examples are made.

    Attributes:
        depth: how many candidates a query has, held out or not.
        guard: a passage closer to the query than this many times the closest relevant one is no negative.
        negatives: passages beside each relevant one.
        held_out: queries of each data set for each of PARTS.
        examples: how many are wanted.
        seed: of drawing.
        carve_seed: of carving.
        teacher: whether the settings' reranker labels them, instead of judgements …
        raw: … by its raw scores rather than by probabilities.
    """

    depth: int
    guard: float
    negatives: int
    held_out: int
    examples: int
    seed: int
    carve_seed: int
    teacher: bool
    raw: bool


def texts_of(datasets: Mapping[str, Dataset]) -> Texts:
    """By data set, the queries' and the passages' texts by id."""
    return {name: (d.queries, {document.id: document.passage for document in d.documents}) for name, d in datasets.items()}


def prepare(
    chosen: Preparation, datasets: Mapping[str, Dataset], shares: Mapping[str, float], settings: Settings, out: Path
) -> None:
    """Make held_out.jsonl, prepared.json and, last, examples.jsonl in the run's folder, or go on making them.

    Raises:
        InvalidDataset: there is nothing to train on, or no reranker to learn from.
        SearchError: as embedder, index and teacher raise it.
    """
    teacher = build_reranker(settings) if chosen.teacher else None
    if chosen.teacher and teacher is None:
        raise InvalidDataset("a teacher is wanted, but the settings name no reranker; set SEARCH_RERANKER__MODEL, and its kind")
    drawn = out / "drawn.jsonl"
    if not drawn.is_file():
        made = {"teacher": teacher.name if teacher else None}
        mixture.write(_draw(chosen, datasets, shares, settings, out, made), drawn)
    if teacher:
        _label(drawn, texts_of(datasets), teacher, raw=chosen.raw)
    drawn.replace(out / "examples.jsonl")


def _draw(
    chosen: Preparation,
    datasets: Mapping[str, Dataset],
    shares: Mapping[str, float],
    settings: Settings,
    out: Path,
    made: dict[str, str | None],
) -> list[Example]:
    """Carve, mine and draw; writes held_out.jsonl and prepared.json on the way."""
    carved = {name: carve(d, dict.fromkeys(PARTS, chosen.held_out), chosen.carve_seed) for name, d in datasets.items()}
    training = {name: parts["train"] for name, parts in carved.items() if shares[name] > 0}
    if empty := [name for name, queries in training.items() if not queries]:
        message = f"{empty[0]}: holding out {len(PARTS)} x {chosen.held_out} queries leaves none to train on; hold out fewer"
        raise InvalidDataset(message)
    # More than needed, for queries without enough negatives are passed over.
    wanted = mixture.draw_queries(training, shares, int(1.1 * chosen.examples), chosen.seed)
    embedder, words = build_embedder(settings), build_words(settings)
    pools: dict[str, dict[str, Pool]] = {}
    held_out: list[HeldOut] = []
    for name, dataset in datasets.items():
        index = build_corpus_index(settings, dataset.corpus_hash, embedder)
        try:
            print(f"{name}: embedding what is not embedded yet of {len(dataset.documents):,} passages", flush=True)
            embed_corpus(dataset, embedder, index, lambda _what, _done, _total: None, words.description, words)
            miner = Miner(dataset, embedder, index, words, depth=chosen.depth, guard=chosen.guard)
            pools[name] = {pool.query: pool for pool in miner.pools(sorted(set(wanted.get(name, ()))))}
            for part in PARTS:
                queries = carved[name][part]
                held_out += [HeldOut(name, part, dataset.queries[q], tuple(miner.candidates(q)), dataset.qrels[q]) for q in queries]
        finally:
            index.close()
        sizes = [len(pool.negatives) for pool in pools[name].values()] or [0]
        print(f"{name}: {len(pools[name]):,} queries mined, {sum(sizes) / len(sizes):.0f} negatives each", flush=True)
    examples = mixture.draw_examples(wanted, pools, chosen.negatives, chosen.seed)[: chosen.examples]
    if len(examples) < chosen.examples:
        print(f"{len(examples):,} examples for {chosen.examples:,} places: they will be seen more than once", flush=True)
    tuning.write(held_out, out / "held_out.jsonl")
    (out / "prepared.json").write_text(json.dumps(made | {"embedder": embedder.fingerprint}) + "\n", encoding="utf-8")
    return examples


def _label(drawn: Path, texts: Texts, teacher: Reranker, *, raw: bool) -> None:
    """Let the teacher label the examples, each written at once, so that a stopped run goes on from there."""
    labelled = drawn.with_name("labelled.jsonl")
    whole = labelled.read_text(encoding="utf-8").rpartition("\n")[0] if labelled.is_file() else ""
    labelled.write_text(f"{whole}\n" if whole else "", encoding="utf-8")  # without what was being written when it was stopped
    examples = list(mixture.read(drawn))[len(list(mixture.read(labelled))) :]
    print(f"{teacher.name} labels {len(examples):,} examples", flush=True)
    with labelled.open("a", encoding="utf-8") as lines:
        for example in mixture.taught(examples, texts, teacher, raw=raw):
            lines.write(mixture.to_line(example))
            lines.flush()
    labelled.replace(drawn)


def apart(held_out: Sequence[HeldOut], examples: Sequence[Example], texts: Texts) -> list[HeldOut]:
    """The held-out queries of which no relevant passage, nor a copy of one, in whatever data set, is a relevant one in training.

    Raises:
        InvalidDataset: one of PARTS is left without a query.
    """
    taught = Known(texts[example.dataset][1][example.documents[0]] for example in examples)
    seen: dict[str, bool] = {}

    def is_taught(text: str) -> bool:
        if text not in seen:
            seen[text] = taught.holds(text)
        return seen[text]

    kept = []
    for query in held_out:
        passages = texts[query.dataset][1]
        if not any(is_taught(passages[d]) for d, grade in query.grades.items() if grade > 0 and d in passages):
            kept.append(query)
    if empty := [part for part in PARTS if part not in {query.part for query in kept}]:
        message = f"of the queries held out to {empty[0]} none has a passage of its own; hold out more, or train on fewer examples"
        raise InvalidDataset(message)
    return kept
