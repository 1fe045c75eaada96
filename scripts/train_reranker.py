r"""Train a cross-encoder on judged data of your own, and write it as a model folder that search loads.

    python -m venv .venv-train
    .venv-train/bin/pip install torch                    # the build for your machine: pytorch.org says which
    .venv-train/bin/pip install --constraint requirements/train.txt --editable ".[cpu,train]"
    .venv-train/bin/python scripts/train_reranker.py --base CHECKPOINT --out RUN \
        --data DATASETS/squad train 2 --data DATASETS/scifact train 1 --steps 2000

CHECKPOINT is a folder with an encoder of the BERT family, such as all-MiniLM-L6-v2: model.safetensors, config.json, tokenizer.json.
Each data set is a BEIR folder, the name of its judgements and its share of the examples. Some queries of each are held out, by
document: the state, the mix and the probability are chosen on them. Run the same command again after a stop, and it goes on.
RUN/model is then a reranker: SEARCH_RERANKER__MODEL=RUN/model. Fine-tuning of language models is out of scope here: other tools do
that well, and `search export` takes what they give.
"""

import argparse
import json
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from search.assembly import build_corpus_index, build_embedder, build_reranker
from search.calibration import fit_platt, reliability
from search.documents import Candidate
from search.errors import InvalidDataset, SearchError
from search.evaluation import Dataset, embed_corpus, load_dataset
from search.export.model_folder import export
from search.export.precision import precision
from search.models import sha256
from search.options import load_settings
from search.recipes import Recipe
from search.reranking.cross_encoder import CrossEncoder
from search.service import SearchService
from search.training import mixture
from search.training.card import Figures, Source, card
from search.training.losses import LOSSES, SQUARED
from search.training.mining import Miner, Pool, carve
from search.training.trainer import Fitting, fit
from search.training.tuning import HeldOut, Scores, best_weight, ndcg, pairs, score, weight_curve

# What may change when a run goes on: it decides nothing about the checkpoint.
FREE = {"out", "minutes", "data_dir", "device", "licence", "base_licence", "weights", "window", "reranked"}
Texts = tuple[dict[str, str], dict[str, str]]
PARTS = ("choose", "calibrate", "check")  # what queries are held out for


def main() -> None:
    """Prepare the examples, train, and write the model."""
    arguments = parse()
    try:
        run(arguments)
    except SearchError as error:
        sys.exit(f"{Path(__file__).name}: {error}")


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    default = {field.name: field.default for field in fields(Fitting)}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", required=True, help="folder of the checkpoint to start from")
    parser.add_argument("--out", required=True, type=Path, help="folder of this run")
    parser.add_argument("--data", required=True, nargs=3, action="append", metavar=("FOLDER", "SPLIT", "SHARE"))
    parser.add_argument("--loss", choices=LOSSES, default=default["loss"])
    parser.add_argument("--teacher", action="store_true", help="label by the reranker that the settings name, not by judgement")
    parser.add_argument("--queries", type=int, default=default["queries"], help="in a batch")
    parser.add_argument("--negatives", type=int, default=7, help="passages beside each query's relevant one")
    parser.add_argument(
        "--depth", type=int, default=30, help="how deep the embedder looks for negatives, and held-out queries are reranked"
    )
    parser.add_argument("--lexical", type=int, default=10, help="how deep BM25 looks for negatives")
    parser.add_argument(
        "--guard", type=float, default=1.1, help="take no negative closer to the query than this x the relevant passage"
    )
    parser.add_argument("--held-out", type=int, default=100, help=f"queries of each data set for each of {', '.join(PARTS)}")
    parser.add_argument("--steps", type=int, default=default["steps"])
    parser.add_argument("--minutes", type=float, help="stop after as many; the same command goes on")
    parser.add_argument("--learning-rate", type=float, default=default["learning_rate"])
    parser.add_argument("--warmup", type=float, default=default["warmup"], help="share of the steps")
    parser.add_argument("--max-tokens", type=int, default=default["max_tokens"])
    parser.add_argument("--freeze", type=int, default=0, help="lowest layers to leave as they are")
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--evaluate-every", type=int, default=default["evaluate_every"], metavar="STEPS")
    parser.add_argument("--measured", type=int, default=15, help="held-out queries of each data set that a measurement takes")
    parser.add_argument("--patience", type=int, default=0, help="stop after as many measurements without a better one")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--average", type=int, default=3, help="try the mean of as many last states; 1 tries none")
    parser.add_argument("--weights", choices=("int8", "fp16", "fp32"), default="int8", help="of the model that is written")
    parser.add_argument("--window", type=int, help="tokens that this model reads; default: as many as it was trained with")
    parser.add_argument("--reranked", type=int, help="candidates that are reranked when the recipe is found; default: --depth")
    parser.add_argument("--licence", nargs=2, action="append", default=[], metavar=("DATASET", "LICENCE"), help="for the card")
    parser.add_argument("--base-licence", default="unstated", help="for the card")
    parser.add_argument("--data-dir", type=Path, help="where vectors are kept; default: the settings'")
    return parser.parse_args(argv)


def run(arguments: argparse.Namespace) -> None:
    """The whole way, from what an earlier call has left."""
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    if (out / "model" / "README.md").is_file():
        print(f"{out / 'model'} is finished; name another --out for another run")
        return
    chosen = {name: value for name, value in vars(arguments).items() if name not in FREE}
    plan = out / "plan.json"
    if plan.is_file() and json.loads(plan.read_text()) != json.loads(json.dumps(chosen)):
        message = f"{out} holds a run with other arguments ({plan}); give those, or another --out"
        raise InvalidDataset(message)
    plan.write_text(json.dumps(chosen, indent=2) + "\n")
    datasets = {}
    shares = {}
    for folder, split, share in arguments.data:
        dataset = load_dataset(Path(folder), split)
        datasets[dataset.name] = dataset
        shares[dataset.name] = float(share)
    if not (out / "examples.jsonl").is_file():
        prepare(arguments, datasets, shares)
    examples = list(mixture.read(out / "examples.jsonl"))
    held_out = [read_held_out(line) for line in (out / "held_out.jsonl").read_text().splitlines()]
    fitting = Fitting(
        **{f.name: getattr(arguments, f.name) for f in fields(Fitting) if f.name != "bf16"}, bf16=arguments.precision == "bf16"
    )
    choosing = [query for query in held_out if query.part == "choose"]
    measured = [query for name in datasets for query in [q for q in choosing if q.dataset == name][: arguments.measured]]
    limits: dict[str, Any] = {"device": arguments.device, "minutes": arguments.minutes, "average": arguments.average}
    if not fit(fitting, examples, texts_of(datasets), measured, out, **limits):
        print("the time is over; run the same command again to go on")
        return
    finish(arguments, examples, held_out)


def texts_of(datasets: dict[str, Dataset]) -> dict[str, Texts]:
    """By data set, the queries' and the passages' texts by id."""
    return {name: (dict(d.queries), {document.id: document.passage for document in d.documents}) for name, d in datasets.items()}


def prepare(arguments: argparse.Namespace, datasets: dict[str, Dataset], shares: dict[str, float]) -> None:
    """Carve, mine and draw; afterwards examples.jsonl and held_out.jsonl stand in the run's folder."""
    settings = load_settings(arguments.data_dir, None)
    embedder = build_embedder(settings)
    carved = {name: carve(dataset, dict.fromkeys(PARTS, arguments.held_out), arguments.seed) for name, dataset in datasets.items()}
    training = {name: parts["train"] for name, parts in carved.items() if shares[name] > 0}
    # More than needed, for queries without enough negatives are passed over.
    drawn = mixture.draw_queries(training, shares, int(1.1 * arguments.steps * arguments.queries), arguments.seed)
    pools: dict[str, dict[str, Pool]] = {}
    held_out: list[HeldOut] = []
    for name, dataset in datasets.items():
        index = build_corpus_index(settings, dataset.corpus_hash, embedder)
        try:
            embed_corpus(dataset, embedder, index, lambda _what, _done, _total: None)
            miner = Miner(
                dataset,
                SearchService(embedder, index, lambda: None),
                depth=arguments.depth,
                lexical=arguments.lexical,
                guard=arguments.guard,
            )
            pools[name] = {pool.query: pool for pool in miner.pools(sorted(set(drawn.get(name, ()))))}
            for part in PARTS:
                held_out += [
                    HeldOut(name, part, dataset.queries[q], tuple(miner.candidates(q)), dataset.qrels[q])
                    for q in carved[name][part]
                ]
        finally:
            index.close()
        sizes = [len(pool.negatives) for pool in pools[name].values()] or [0]
        print(f"{name}: {len(pools[name]):,} queries mined, {sum(sizes) / len(sizes):.0f} negatives each", flush=True)
    examples = mixture.draw_examples(drawn, pools, arguments.negatives, arguments.seed)[: arguments.steps * arguments.queries]
    if arguments.teacher:
        teacher = build_reranker(settings)
        if teacher is None:
            message = "--teacher: the settings name no reranker; set SEARCH_RERANKER__MODEL, and its kind"
            raise InvalidDataset(message)
        print(f"labelling {len(examples):,} examples by {teacher.name}", flush=True)
        examples = list(mixture.taught(examples, texts_of(datasets), teacher, raw=arguments.loss in SQUARED))
    unfinished = arguments.out / "held_out.unfinished"
    unfinished.write_text("".join(json.dumps(asdict(query), ensure_ascii=False) + "\n" for query in held_out))
    unfinished.replace(arguments.out / "held_out.jsonl")
    mixture.write(examples, arguments.out / "examples.jsonl")  # last: it says that all is prepared


def finish(arguments: argparse.Namespace, examples: Sequence[mixture.Example], held_out: Sequence[HeldOut]) -> None:
    """Export the checkpoint, find its recipe on held-out queries, and write the card last."""
    out, folder = arguments.out, arguments.out / "model"
    window, depth = arguments.window or arguments.max_tokens, arguments.reranked or arguments.depth
    held_out = [replace(query, candidates=query.candidates[:depth]) for query in held_out]
    shutil.rmtree(folder, ignore_errors=True)  # of a call that was stopped here
    export(str(out / "checkpoint"), folder, precision=precision(arguments.weights), max_tokens=window, cache=out)
    scores = score(held_out, CrossEncoder(str(folder), device="cpu", cache=out))
    part = {name: [i for i, query in enumerate(held_out) if query.part == name] for name in PARTS}

    def taken(name: str) -> tuple[list[HeldOut], list[Scores]]:
        return [held_out[i] for i in part[name]], [scores[i] for i in part[name]]

    weight = best_weight(weight_curve(*taken("choose")))
    scale, bias = fit_platt(*pairs(*taken("calibrate")))
    recipe = Recipe.read(json.loads((folder / "recipe.json").read_text()), "the recipe").model_copy(
        update={"weight": weight, "scale": scale, "bias": bias}
    )
    logits, relevant = pairs(*taken("check"))
    checked = reliability(np.array([recipe.probability(float(logit)) for logit in logits]), relevant)
    figures = Figures(*(ndcg(*taken("check"), share) for share in (0.0, 1.0, weight)))
    licences = dict(arguments.licence)
    counts = Counter(example.dataset for example in examples)
    text = card(
        base=f"{Path(arguments.base).name} ({arguments.base_licence}, sha256 {sha256(Path(arguments.base) / 'model.safetensors')})",
        sources=[Source(n := Path(d).name, split, counts[n], licences.get(n, "unstated")) for d, split, _ in arguments.data],
        command=shlex.join(["python", *sys.argv]),
        checkpoint_sha256=sha256(out / "checkpoint" / "model.safetensors"),
        recipe=recipe.to_dict(),
        depth=depth,
        figures=figures,
        calibration=checked,
        versions={name: version(name) for name in ("two-stage-search", "torch", "sentence-transformers", "transformers")},
        log=[json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()],
    )
    for target in (out / "checkpoint", folder):
        (target / "recipe.json").write_text(json.dumps(recipe.to_dict(), indent=1) + "\n")
        (target / "README.md").write_text(text)
    print(text)


def read_held_out(line: str) -> HeldOut:
    """What `prepare` wrote."""
    row: dict[str, Any] = json.loads(line)
    return HeldOut(**row | {"candidates": tuple(Candidate(**candidate) for candidate in row["candidates"])})


if __name__ == "__main__":
    main()
