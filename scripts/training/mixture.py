"""In which order does a model see which examples? Drawn once, by seed and weight, and kept: a run that goes on sees the same."""

import json
import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from search.errors import InvalidDataset
from search.reranking.contract import Reranker
from training.mining import Pool


@dataclass(frozen=True)
class Example:
    """A query and passages of which the first is relevant.

    Attributes:
        dataset: the name of the data set.
        query: the query's id there.
        documents: ids, the relevant document first.
        labels: what each of them should score: 1 and 0s, or a teacher's scores.
    """

    dataset: str
    query: str
    documents: tuple[str, ...]
    labels: tuple[float, ...]


Texts = Mapping[str, tuple[Mapping[str, str], Mapping[str, str]]]  # by data set, the queries' and the passages' texts by id


def draw_queries(queries: Mapping[str, Sequence[str]], weights: Mapping[str, float], total: int, seed: int) -> dict[str, list[str]]:
    """Which queries of each data set are seen: as many as its weight says, each epoch in an order of its own."""
    shares = _shares({name: weights[name] for name in queries}, total)
    drawn: dict[str, list[str]] = {}
    for name, share in shares.items():
        order = random.Random(f"{seed}/{name}/queries")  # noqa: S311  # nothing to keep secret
        epochs: list[str] = []
        while len(epochs) < share:
            epochs += order.sample(list(queries[name]), len(queries[name]))
        drawn[name] = epochs[:share]
    return drawn


def draw_examples(
    drawn: Mapping[str, Sequence[str]], pools: Mapping[str, Mapping[str, Pool]], negatives: int, seed: int
) -> list[Example]:
    """Put the data sets' queries in one order and choose each one's passages anew each time it comes.

    Args:
        drawn: query ids by data set, in the order they are to come.
        pools: by data set and query; a query without a pool is passed over.
        negatives: passages beside the relevant one; a query with fewer is passed over, for lists must be of one length.
        seed: of the order and the choices.
    """
    examples = []
    for name, queries in drawn.items():
        choice = random.Random(f"{seed}/{name}/passages")  # noqa: S311
        for query in queries:
            pool = pools[name].get(query)
            if pool is None or len(pool.negatives) < negatives:
                continue
            documents = (choice.choice(pool.positives), *choice.sample(pool.negatives, negatives))
            examples.append(Example(name, query, documents, (1.0, *[0.0] * negatives)))
    if not examples:
        raise InvalidDataset(f"no query has a relevant document and {negatives} negatives; mine deeper or ask for fewer negatives")
    random.Random(f"{seed}/order").shuffle(examples)  # noqa: S311
    return examples


def taught(examples: Sequence[Example], texts: Texts, teacher: Reranker, *, raw: bool) -> Iterator[Example]:
    """The same examples, labelled by a reranker.

    Args:
        examples: to be labelled.
        texts: by data set, the queries' and the passages' texts by id.
        teacher: whose knowledge is wanted.
        raw: whether a label is its score, as the losses on squares take it, or the probability that its recipe makes of the score
            (the logistic function of the score where it makes none).
    """
    for example in examples:
        queries, passages = texts[example.dataset]
        scores = teacher.score(queries[example.query], [passages[document] for document in example.documents]).scores.tolist()
        known = scores if raw else [teacher.recipe.probability(score) for score in scores]
        labels = [0.5 * (1 + math.tanh(score / 2)) if label is None else label for score, label in zip(scores, known, strict=True)]
        yield replace(example, labels=tuple(labels))


def to_line(example: Example) -> str:
    """One line of JSON."""
    return json.dumps(asdict(example), ensure_ascii=False) + "\n"


def write(examples: Iterable[Example], file: Path) -> None:
    """One JSON line an example; the file is there whole or not at all."""
    unfinished = file.with_suffix(".unfinished")
    with unfinished.open("w", encoding="utf-8") as lines:
        lines.writelines(map(to_line, examples))
    unfinished.replace(file)


def read(file: Path) -> Iterator[Example]:
    """What `write` wrote."""
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            yield Example(row["dataset"], row["query"], tuple(row["documents"]), tuple(row["labels"]))


def _shares(weights: Mapping[str, float], total: int) -> dict[str, int]:
    whole = sum(weights.values())
    return {name: round(total * weight / whole) for name, weight in weights.items()}
