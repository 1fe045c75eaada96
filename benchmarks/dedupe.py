"""Are near-duplicates found, and near misses left apart? Precision and recall by kind, on copies that are planted in real texts.

    .venv/bin/python benchmarks/dedupe.py fill ../shared/data FOLDER       # the collection that is measured; run it again to go on
    .venv/bin/python benchmarks/dedupe.py fit ../shared/data FOLDER        # coefficients, from train texts and other templates
    .venv/bin/python benchmarks/dedupe.py measure ../shared/data FOLDER    # figures, into results/dedupe.json
    .venv/bin/python benchmarks/dedupe.py judge ../shared/data             # known pairs alone, into results/dedupe_pairs.json

Measured: web passages of nq-qed, abstracts of scifact, functions of cosqa. Fitted on: passages of squad-train, and functions of the
standard library. Neither has a text, a template or a clause of the other.
"""

import argparse
import ast
import json
import math
import random
import resource
import sysconfig
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import planting
import record
from numpy.typing import NDArray

from search import Document, Searcher, Settings, open_search
from search.deduplication.candidates import Contents, nearest_pairs, read_contents
from search.deduplication.comparing import SIGNS, profile_of, signs_of
from search.deduplication.finding import THRESHOLD, Progress, find_duplicates
from search.deduplication.pairs import Judge, Judged, Weights, probability
from search.deduplication.report import Cluster, Duplicates

PLANTED = 200  # of each kind; 150 where coefficients are fitted
MISSES = 100  # groups of three of one template, and pairs of each other kind
CODE_SHARE = 0.25  # of the copies
WORDS = range(30, 401)  # of a text
UNKNOWN = 0.4  # of shingles in common: a pair that nobody planted may be true from there on, and nothing is fitted on it
THRESHOLDS = (0.5, 0.8, 0.9, 0.95)
_ALIKE = 0.6  # of the clauses of the longer contract, that the other has, too
STRENGTHS = (0.0001, 0.001, 0.01, 0.1, 1.0)  # by which coefficients are held back; held-out loss chooses
TEXT, CODE = "text/plain", "text/x-python"


class Words(NamedTuple):
    """What near misses are made of."""

    templates: tuple[str, ...]
    clauses: tuple[str, ...]
    turns: str
    rare_turns: str
    methods: tuple[str, ...]
    rare_synonyms: str
    things: str


class Corpus(NamedTuple):
    """Documents, and what is known of pairs of them, by their ids in order."""

    documents: list[Document]
    planted: dict[tuple[str, str], str]
    misses: dict[tuple[str, str], str]
    unclear: set[tuple[str, str]]  # nobody planted them, and they are the same, or one has a clause more


def main() -> None:
    """Fill, fit or measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("fill", "fit", "measure", "judge"))
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path, nargs="?", help="of the collection, for all but judge")
    parser.add_argument("--most", type=int, default=100_000, help="documents")
    parser.add_argument("--ask", action="store_true", help="the reranker about every likely pair, to see what it would add")
    arguments = parser.parse_args()
    fitted = arguments.step == "fit"
    corpus = (train if fitted else test)(arguments.data)
    if arguments.step == "judge":
        _judge(corpus)
        return
    if arguments.folder is None:
        parser.error(f"{arguments.step} needs the folder of the collection")
    settings = Settings(data_dir=arguments.folder, collection="fit" if fitted else "measured", device="cpu")
    with open_search(settings) as searcher:
        if arguments.step != "measure":
            _fill(searcher, corpus.documents[: arguments.most])
        if fitted:
            _fit(searcher, corpus, asked=arguments.ask)
        if arguments.step == "measure":
            _measure(searcher, corpus)


def _fill(searcher: Searcher, documents: list[Document]) -> None:
    """In small groups, so that a run that is killed goes on."""
    for start in range(0, len(documents), 200):
        done = searcher.ingest(documents[start : start + 200])
        print(time.strftime("%H:%M:%S"), start, done.chunks, f"{done.seconds:.1f} s", flush=True)


def _fit(searcher: Searcher, corpus: Corpus, *, asked: bool) -> None:
    """Print the coefficients of search/deduplication/pairs.py, and what the reranker would add if it is asked."""
    with searcher.using() as index:
        contents = read_contents(index, _say)
        closest = nearest_pairs(index, contents, _say)
        judge = Judge(contents, searcher.reranker if asked else None)
        _fit_maps(judge.judge(closest, _say), corpus)


def _fit_maps(judged: list[Judged], corpus: Corpus) -> None:
    """By kind: coefficients of the signs; where the reranker was asked, those of its answers beside them, too."""
    known = corpus.planted.keys() | corpus.misses.keys()
    pairs = [one for one in judged if (one.first, one.second) in known or one.signs[0] < UNKNOWN]
    random.Random(0).shuffle(pairs)  # noqa: S311  # no secret; pairs come by kind, and parts are held out
    for code in (False, True):
        some = [one for one in pairs if one.code == code]
        labels = _labels(some, corpus)
        features = np.array([[1.0, *one.signs] for one in some])
        meant = [0, *(1 if sign in {"shingles", "words"} else -1 for sign in SIGNS)]
        strength = min(STRENGTHS, key=lambda one: _held_out_loss(features, labels, one, meant))
        constant, *signs = _logistic(features, labels, strength, meant)
        loss = _held_out_loss(features, labels, strength, meant)
        print(f"{code}: {Weights(_short(constant), tuple(map(_short, signs)))},", flush=True)
        print(f"    # {int(labels.sum())} of {len(some)} pairs are duplicates, {strength}, {loss:.4f}", flush=True)
        asked = [one for one in some if one.logits is not None]
        if asked:
            answers = np.array([[1.0, *one.signs, sum(one.logits) / 2, min(one.logits)] for one in asked if one.logits])
            loss = _held_out_loss(answers[:, :-2], _labels(asked, corpus), strength, meant)
            with_it = _held_out_loss(answers, _labels(asked, corpus), strength, [*meant, 1, 1])
            weights = _logistic(answers, _labels(asked, corpus), strength, [*meant, 1, 1])[-2:]
            print(f"    # {len(asked)} asked: {loss:.4f}, with the reranker {with_it:.4f}, {weights}", flush=True)


def _labels(some: list[Judged], corpus: Corpus) -> NDArray[np.float64]:
    return np.array([(one.first, one.second) in corpus.planted for one in some], np.float64)


def _short(value: float) -> float:
    return round(float(value), 3)


def _logistic(features: NDArray[np.float64], labels: NDArray[np.float64], strength: float, meant: list[int]) -> NDArray[np.float64]:
    """Coefficients, of which none speaks against its meaning: what is shared speaks for a pair, what is crossed against it."""
    signs = np.array(meant)
    kept = np.ones(features.shape[1], bool)
    while True:
        weights = np.zeros(features.shape[1])
        weights[kept] = _newton(features[:, kept], labels, strength)
        wrong = kept & (signs * weights < 0)
        if not wrong.any():
            return weights
        kept[np.argmin(np.where(wrong, signs * weights, 0))] = False


def _newton(features: NDArray[np.float64], labels: NDArray[np.float64], strength: float) -> NDArray[np.float64]:
    """Newton's method; the constant, which comes first, is not held back."""
    weights = np.zeros(features.shape[1])
    penalty = np.diag([1e-6, *[strength] * (features.shape[1] - 1)])
    for _ in range(50):
        chances = 0.5 * (1 + np.tanh(features @ weights / 2))
        slope = features.T @ (chances - labels) + penalty @ weights
        curvature = (features * (chances * (1 - chances))[:, None]).T @ features + penalty
        weights = weights - np.linalg.solve(curvature, slope)
    return weights


def _held_out_loss(features: NDArray[np.float64], labels: NDArray[np.float64], strength: float, meant: list[int]) -> float:
    """The mean logarithmic loss over five parts, each by what is fitted on the others."""
    losses = []
    for part in range(5):
        held = np.arange(len(labels)) % 5 == part
        weights = _logistic(features[~held], labels[~held], strength, meant)
        chances = np.clip(0.5 * (1 + np.tanh(features[held] @ weights / 2)), 1e-9, 1 - 1e-9)
        losses.append(-np.mean(labels[held] * np.log(chances) + (1 - labels[held]) * np.log(1 - chances)))
    return float(np.mean(losses))


def _judge(corpus: Corpus) -> None:
    """Figures of pairs of which it is known what they are, without a collection, its candidates and its clusters: in minutes."""
    documents = {one.id: one for one in corpus.documents}
    profile = cache(lambda one: profile_of(documents[one]))
    chances: dict[str, list[float]] = {}
    for (one, other), kind in (corpus.planted | corpus.misses).items():
        code = profile(one).code and profile(other).code
        chances.setdefault(kind, []).append(probability(signs_of(profile(one), profile(other)), code=code))
    reported = {
        at: [(chance, kind in planting.SHAPES) for kind, some in chances.items() for chance in some if chance >= at]
        for at in THRESHOLDS
    }
    figures = {
        "threshold": THRESHOLD,
        "reported, by kind": {kind: _share(sum(one >= THRESHOLD for one in some), len(some)) for kind, some in chances.items()},
        "by threshold": {
            str(at): {
                "true": _share(sum(true for _, true in some), len(some)),
                "expected": sum(chance for chance, _ in some) / len(some),
            }
            for at, some in reported.items()
        },
    }
    record.write("dedupe_pairs", figures)


def _measure(searcher: Searcher, corpus: Corpus) -> None:
    """Figures at the default threshold, and precision by threshold."""
    with searcher.using() as index:
        found = find_duplicates(index, None, rerank=False, on_progress=_say_progress)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        contents = read_contents(index, _say)
        candidates = {(one.first, one.second) for one in nearest_pairs(index, contents, _say)}
        others = {one: find_duplicates(index, None, rerank=False, threshold=one) for one in THRESHOLDS if one != found.threshold}
    by_threshold = dict(sorted({**others, found.threshold: found}.items()))
    figures = {
        "documents": found.documents,
        "passages": found.passages,
        "planted": len(corpus.planted),
        "pairs judged": found.pairs,
        "seconds": round(found.seconds, 1),
        "peak memory, MB": round(peak),
        "threshold": found.threshold,
        "confirmed by": found.confirmed_by,
        "expected share": found.expected_share,
        "by kind": _by_kind(found, corpus),
        "wrongly joined": _wrongly_joined(found, corpus),
        "planted pairs among the candidates": _among(candidates, contents, corpus),
        "planted texts and near misses, by threshold": {str(at): _precision(one, corpus) for at, one in by_threshold.items()},
        "recall, by threshold": {
            str(at): {kind: figure["recall"]["share"] for kind, figure in _by_kind(one, corpus).items()}
            for at, one in by_threshold.items()
        },
        "wrongly joined, by threshold": {
            str(at): {kind: figure["share"] for kind, figure in _wrongly_joined(one, corpus).items()}
            for at, one in by_threshold.items()
        },
        "others reported": _others(found, corpus),
    }
    record.write("dedupe", figures)


def _among(candidates: set[tuple[str, str]], contents: Contents, corpus: Corpus) -> dict[str, Any]:
    """How many planted pairs are looked at, by kind: those of one hash, and those that the index finds."""
    digests = {one: entry.digest for one, entry in contents.entries.items()}
    total, seen = Counter(corpus.planted.values()), Counter[str]()
    for pair, kind in corpus.planted.items():
        seen[kind] += pair in candidates or (pair[0] in digests and digests[pair[0]] == digests.get(pair[1]))
    return {kind: _share(seen[kind], count) for kind, count in total.items()}


def _joined(found: Duplicates) -> list[tuple[str, str]]:
    """Every duplicate with its representative, ids in order."""
    pairs = [(cluster.representative.id, one.document.id) for cluster in found.clusters for one in cluster.duplicates]
    return [(min(pair), max(pair)) for pair in pairs]


def _by_kind(found: Duplicates, corpus: Corpus) -> dict[str, Any]:
    cluster_of = {one: at for at, cluster in enumerate(found.clusters) for one in _members(cluster)}
    kind_of = {one: kind for pair, kind in corpus.planted.items() for one in pair}
    joined = _joined(found)
    figures = {}
    for kind in planting.SHAPES:
        planted = [pair for pair, one in corpus.planted.items() if one == kind]
        hits = sum(pair[0] in cluster_of and cluster_of[pair[0]] == cluster_of.get(pair[1]) for pair in planted)
        touching = [pair for pair in joined if kind in {kind_of.get(pair[0]), kind_of.get(pair[1])}]
        right = sum(pair in corpus.planted for pair in touching)
        figures[kind] = {"recall": _share(hits, len(planted)), "precision": _share(right, len(touching))}
    return figures


def _wrongly_joined(found: Duplicates, corpus: Corpus) -> dict[str, Any]:
    cluster_of = {one: at for at, cluster in enumerate(found.clusters) for one in _members(cluster)}
    total, wrong = Counter(corpus.misses.values()), Counter[str]()
    for (one, other), kind in corpus.misses.items():
        wrong[kind] += one in cluster_of and cluster_of[one] == cluster_of.get(other)
    return {kind: _share(wrong[kind], count) for kind, count in total.items()}


def _precision(found: Duplicates, corpus: Corpus) -> dict[str, Any]:
    """Of reported pairs with a planted text or a near miss: the share of true ones, and what was to be expected."""
    known = {one for pair in [*corpus.planted, *corpus.misses] for one in pair}
    joined = [pair for pair in _joined(found) if known & set(pair) and pair not in corpus.unclear]
    return {"true": _share(sum(pair in corpus.planted for pair in joined), len(joined)), "expected": found.expected_share}


def _others(found: Duplicates, corpus: Corpus) -> dict[str, Any]:
    """Pairs that nobody planted: data sets have copies of their own."""
    known = {one for pair in [*corpus.planted, *corpus.misses] for one in pair}
    kinds = {one.document.id: one.kind for cluster in found.clusters for one in cluster.duplicates}
    pairs = [pair for pair in _joined(found) if not known & set(pair)]
    return {
        "pairs": len(pairs),
        "identical": sum(any(kinds.get(one) == "identical" for one in pair) for pair in pairs),
        "ids": pairs,
    }


def _members(cluster: Cluster) -> list[str]:
    return [cluster.representative.id, *(one.document.id for one in cluster.duplicates)]


def _share(count: int, of_all: int) -> dict[str, Any]:
    """A share with Wilson's interval of 95 %."""
    if not of_all:
        return {"share": None, "of": 0}
    share, z = count / of_all, 1.96
    middle, reach = share + z * z / (2 * of_all), z * math.sqrt(share * (1 - share) / of_all + (z / (2 * of_all)) ** 2)
    low, high = ((middle + side * reach) / (1 + z * z / of_all) for side in (-1, 1))
    return {"share": round(share, 4), "low": round(low, 3), "high": round(high, 3), "of": of_all}


def _say(done: int, total: int | None) -> None:
    if done % 500 == 0:
        print(time.strftime("%H:%M:%S"), done, total, flush=True)


def _say_progress(progress: Progress) -> None:
    if progress.done % 500 == 0:
        print(time.strftime("%H:%M:%S"), progress, flush=True)


def test(data: Path) -> Corpus:
    """What is measured."""
    texts = [row["text"] for name in ("nq-qed", "scifact") for row in _rows(data / "evaluate" / name)]
    code = [row["text"] for row in _rows(data / "evaluate" / "cosqa")]
    words = Words(
        planting.TEMPLATES,
        planting.CLAUSES,
        planting.TURNS,
        planting.RARE_TURNS,
        planting.METHODS,
        planting.RARE_SYNONYMS,
        planting.THINGS,
    )
    return _corpus(texts, code, random.Random(27), words)  # noqa: S311  # no secret


def train(data: Path) -> Corpus:
    """What coefficients are fitted on: texts, templates and clauses of their own."""
    chance = random.Random(1)  # noqa: S311  # no secret
    texts = [row["text"] for row in _rows(data / "train" / "squad-train")]
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    code = [piece for file in files for piece in _functions(file.read_text(encoding="utf-8", errors="replace"))]
    chance.shuffle(code)
    chance.shuffle(texts)
    words = Words(
        planting.OTHER_TEMPLATES,
        planting.OTHER_CLAUSES,
        planting.OTHER_TURNS,
        planting.OTHER_RARE_TURNS,
        planting.OTHER_METHODS,
        planting.OTHER_RARE_SYNONYMS,
        planting.OTHER_THINGS,
    )
    return _corpus(texts, code, random.Random(2), words, planted_of_each=150)  # noqa: S311  # no secret


def _corpus(
    texts: list[str],
    code: list[str],
    chance: random.Random,
    words: Words,
    *,
    planted_of_each: int = PLANTED,
    groups: int = MISSES,
) -> Corpus:
    texts, code = (list(dict.fromkeys(one for one in some if len(one.split()) in WORDS)) for some in (texts, code))
    chance.shuffle(texts)
    chance.shuffle(code)
    first: list[Document] = []
    planted: dict[tuple[str, str], str] = {}
    misses: dict[tuple[str, str], str] = {}
    _plant(first, planted, texts, code, chance, planted_of_each)
    _miss(first, misses, texts, code, chance, words, groups)
    unclear = _compare_contracts(first, misses)
    _exchange(first, planted, misses, texts, words, (planted_of_each, groups))
    rest = [Document(f"text-{at:05}", text) for at, text in enumerate(texts)]
    rest += [Document(f"code-{at:05}", text, media_type=CODE) for at, text in enumerate(code)]
    chance.shuffle(rest)
    return Corpus(first + rest, planted, misses, unclear)


def _plant(
    first: list[Document],
    planted: dict[tuple[str, str], str],
    texts: list[str],
    code: list[str],
    chance: random.Random,
    of_each: int,
) -> None:
    """Add originals with what is made of them; texts and code lose what is used."""

    def plant(original: str, made: str, kind: str, media_type: str) -> None:
        at = len(planted)
        ids = (f"original-{at:04}", f"planted-{at:04}")
        first.extend(Document(one, text, media_type=media_type) for one, text in zip(ids, (original, made), strict=True))
        planted[ids] = kind

    for _ in range(of_each):
        if chance.random() < CODE_SHARE:
            original = code.pop()
            plant(original, planting.copied(original, chance, code=True), "copy", CODE)
        else:
            original = texts.pop()
            plant(original, planting.copied(original, chance), "copy", TEXT)
        original = texts.pop()
        plant(original, planting.edited(original, chance), "edit", TEXT)
        plant(*_turned(texts, partial(planting.one_word_edited, chance=chance)), "one word", TEXT)
        original = texts.pop()
        plant(original, planting.paraphrased(original, chance), "paraphrase", TEXT)
    made = 0
    while made < of_each:
        original = f"{code.pop()}\n\n\n{code.pop()}" if made % 2 else code.pop()  # of two functions, whose order changes
        if (other := planting.moved(original, chance)) is not None:
            plant(original, other, "moved code", CODE)
            made += 1


def _miss(
    first: list[Document],
    misses: dict[tuple[str, str], str],
    texts: list[str],
    code: list[str],
    chance: random.Random,
    words: Words,
    groups: int,
) -> None:
    """Add near misses; texts and code lose what is used."""

    def miss(group: Sequence[str], kind: str, media_type: str = TEXT) -> None:
        ids = [f"{kind.replace(' ', '-')}-{len(misses):04}-{place}" for place in range(len(group))]
        first.extend(Document(one, text, media_type=media_type) for one, text in zip(ids, group, strict=True))
        misses.update({(one, other): kind for place, one in enumerate(ids) for other in ids[place + 1 :]})

    for _ in range(groups):
        miss(planting.templated(chance, words.templates, 3), "other numbers")
        miss(planting.one_number_changed(chance, words.templates), "one other number")
        miss(planting.boilerplate(chance, words.clauses), "another clause")
        miss(_turned(texts, partial(planting.turned, chance=chance, turns=planting.NEGATED)), "negated")
        miss(_turned(texts, partial(planting.turned, chance=chance, turns=words.turns)), "an opposite word")
        miss(_turned(texts, partial(planting.turned, chance=chance, turns=words.rare_turns)), "an opposite word, not listed")
        miss(_turned(code, partial(planting.turned_code, chance=chance)), "code with another sign", CODE)
        part = texts.pop()
        miss((part, f"{part}\n\n{texts.pop()}"), "a text with another behind it")
    for _ in range(groups):
        miss(
            _turned(code, partial(planting.called_otherwise, chance=chance, methods=words.methods)), "code with another call", CODE
        )


def _exchange(
    first: list[Document],
    planted: dict[tuple[str, str], str],
    misses: dict[tuple[str, str], str],
    texts: list[str],
    words: Words,
    of_each: tuple[int, int],
) -> None:
    """Add texts of which some words are others: synonyms that no list has, things of their kind, numbers; texts lose what is used.

    They are drawn by themselves, after all others, which stay what they were.
    """
    chance = random.Random(4)  # noqa: S311  # no secret
    exchanged = {
        "words not listed": partial(planting.reworded, chance=chance, synonyms=words.rare_synonyms),
        "other things": partial(planting.of_other_things, chance=chance, things=words.things, numbers=False),
        "other numbers in words": partial(planting.of_other_things, chance=chance, things=words.things, numbers=True),
    }
    for kind, make in exchanged.items():
        same = kind in planting.SHAPES
        for at in range(of_each[0 if same else 1]):
            ids = (f"{kind.replace(' ', '-')}-{at:04}-0", f"{kind.replace(' ', '-')}-{at:04}-1")
            first.extend(Document(one, text, media_type=TEXT) for one, text in zip(ids, _turned(texts, make), strict=True))
            (planted if same else misses)[ids] = kind


def _compare_contracts(first: list[Document], misses: dict[tuple[str, str], str]) -> set[tuple[str, str]]:
    """Add near misses among contracts that were not made of one another; those are returned that cannot be told to be any."""
    contracts = sorted((one.id, frozenset(planting.sentences(one.text))) for one in first if one.id.startswith("another-clause-"))
    unclear: set[tuple[str, str]] = set()
    found: dict[str, list[tuple[str, str]]] = {"further clauses": [], "other clauses": []}
    for at, (one, clauses) in enumerate(contracts):
        for other, others in contracts[at + 1 :]:
            lacking, more = sorted((len(clauses - others), len(others - clauses)))
            if (one, other) in misses or len(clauses & others) < _ALIKE * max(len(clauses), len(others)):
                continue
            if (lacking, more) in {(0, 0), (0, 1)}:
                unclear.add((one, other))
            else:
                found["other clauses" if lacking else "further clauses"].append((one, other))
    for kind, pairs in found.items():
        misses.update(dict.fromkeys(random.Random(3).sample(pairs, min(MISSES, len(pairs))), kind))  # noqa: S311  # no secret
    return unclear


def _turned(made_from: list[str], turned: Callable[[str], str | None]) -> tuple[str, str]:
    """The next text that can be turned, and what it becomes; those that cannot are put back."""
    while True:
        original = made_from.pop()
        if (other := turned(original)) is not None and other != original:
            return original, other
        made_from.insert(0, original)


def _functions(text: str) -> Iterable[str]:
    """The functions of a file."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return
    yield from (ast.get_source_segment(text, node) or "" for node in tree.body if isinstance(node, ast.FunctionDef))


def _rows(folder: Path) -> list[dict[str, Any]]:
    with (folder / "corpus.jsonl").open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


if __name__ == "__main__":
    main()
