r"""Train a cross-encoder on judged data of your own, and write it as a model folder that search loads.

    python -m venv .venv-train
    .venv-train/bin/pip install torch   # the build for your machine; pytorch.org says which
    .venv-train/bin/pip install --no-deps --require-hashes -r requirements/train.txt
    .venv-train/bin/pip install --no-deps --no-build-isolation --editable .
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
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from training import mixture, tuning
from training.finishing import Finish, finish
from training.fitting import LOSSES, SQUARED, Fitting
from training.preparation import PARTS, Preparation, apart, prepare, texts_of

from search.cli.options import load_settings
from search.errors import DeviceUnavailable, InvalidDataset, InvalidSettings, ModelNotFound, SearchError
from search.evaluation.datasets import Dataset, load_dataset
from search.export.precision import precision

# What may be given otherwise when a run goes on, since it decides nothing about the examples, nor which weights come of them.
FREE = {"out", "minutes", "data_dir", "after", "licence", "base_licence", "weights", "window", "reranked"}


def main() -> None:
    """Prepare the examples, train, and write the model."""
    arguments = parse()
    try:
        import training.trainer  # noqa: F401  # with torch, which takes seconds
    except ModuleNotFoundError as error:
        sys.exit(f"{Path(__file__).name}: {error.name} is missing; run this by .venv-train/bin/python (--help says how to make it)")
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
    parser.add_argument(
        "--after", type=Path, action="append", default=[], metavar="RUN", help="an earlier run, of which --base comes"
    )
    parser.add_argument("--data", required=True, nargs=3, action="append", metavar=("FOLDER", "SPLIT", "SHARE"))
    parser.add_argument("--loss", choices=LOSSES, default=default["loss"])
    parser.add_argument("--teacher", action="store_true", help="label by the reranker that the settings name, not by judgement")
    parser.add_argument("--queries", type=int, default=default["queries"], help="in a batch")
    parser.add_argument("--negatives", type=int, default=7, help="passages beside each query's relevant one")
    parser.add_argument(
        "--depth", type=int, default=30, help="candidates of a query, among which negatives are, and which are reranked if held out"
    )
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
    parser.add_argument(
        "--carve-seed", type=int, default=0, help="which queries are held out; a run on another's checkpoint needs its"
    )
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
    from training.trainer import fit

    out: Path = arguments.out
    if (out / "model" / "README.md").is_file():
        print(f"{out / 'model'} is finished; name another --out for another run")
        return
    datasets, shares = loaded(arguments.data)
    check(arguments, datasets)
    taught = earlier(arguments.after, datasets)
    out.mkdir(parents=True, exist_ok=True)
    settle(out / "plan.json", {name: value for name, value in vars(arguments).items() if name not in FREE})
    settings = load_settings(arguments.data_dir, None)
    if not (out / "examples.jsonl").is_file():
        given = {
            name: getattr(arguments, name) for name in ("depth", "guard", "negatives", "held_out", "seed", "carve_seed", "teacher")
        }
        chosen = Preparation(**given, examples=arguments.steps * arguments.queries, raw=arguments.loss in SQUARED)
        prepare(chosen, datasets, shares, settings, out)
    texts = texts_of(datasets)
    examples = list(mixture.read(out / "examples.jsonl"))
    everything = tuning.read(out / "held_out.jsonl")
    held_out = apart(everything, [*examples, *taught], texts)
    print(f"{len(held_out):,} of {len(everything):,} held-out queries have no passage in common with the examples", flush=True)
    measured = [
        query
        for name in datasets
        for query in [q for q in held_out if (q.dataset, q.part) == (name, "choose")][: arguments.measured]
    ]
    same = {field.name: getattr(arguments, field.name) for field in fields(Fitting) if field.name != "bf16"}
    fitting = Fitting(**same, bf16=arguments.precision == "bf16")
    limits: dict[str, Any] = {"device": arguments.device, "minutes": arguments.minutes, "average": arguments.average}
    if not fit(fitting, examples, texts, measured, out, **limits):
        print("the time is over; run the same command again to go on")
        return
    told = Finish(
        precision=precision(arguments.weights),
        window=arguments.window or arguments.max_tokens,
        depth=arguments.reranked or arguments.depth,
        base=Path(arguments.base),
        base_licence=arguments.base_licence,
        splits={name: dataset.split for name, dataset in datasets.items()},
        licences=dict(arguments.licence),
        command=shlex.join(["python", *sys.argv]),
    )
    print(finish(told, examples, held_out, out, taught={example.dataset for example in taught}))


def earlier(runs: Sequence[Path], datasets: dict[str, Dataset]) -> list[mixture.Example]:
    """What earlier runs have taught."""
    examples: list[mixture.Example] = []
    for run in runs:
        if not (run / "examples.jsonl").is_file():
            raise InvalidDataset(f"--after {run}: there is no run in this folder")
        examples += mixture.read(run / "examples.jsonl")
    if unknown := sorted({example.dataset for example in examples} - datasets.keys()):
        message = f"--after: {unknown[0]} was taught earlier; name it with --data, with a share of 0 if it shall rest now"
        raise InvalidDataset(message)
    return examples


def loaded(data: Sequence[tuple[str, str, str]]) -> tuple[dict[str, Dataset], dict[str, float]]:
    """The data sets and their shares, by name."""
    datasets: dict[str, Dataset] = {}
    shares: dict[str, float] = {}
    for folder, split, share in data:
        dataset = load_dataset(Path(folder), split)
        if dataset.name in datasets:
            raise InvalidDataset(f"two data sets are called {dataset.name}; rename the folder of one")
        if not dataset.documents:
            raise InvalidDataset(f"{folder} has no corpus.jsonl, from which negatives are mined")
        try:
            shares[dataset.name] = float(share)
        except ValueError:
            shares[dataset.name] = -1
        if not 0 <= shares[dataset.name] < float("inf"):
            raise InvalidDataset(f"the share of {dataset.name} is {share!r}; give a number, 0 or more")
        datasets[dataset.name] = dataset
    if not any(shares.values()):
        raise InvalidDataset("every share is 0, so there is nothing to train on")
    return datasets, shares


def check(arguments: argparse.Namespace, datasets: dict[str, Dataset]) -> None:
    """Refuse what would fail later, before anything that takes long."""
    import torch

    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        if not (Path(arguments.base) / name).is_file():
            raise ModelNotFound(f"--base {arguments.base} has no {name}; give the folder of a checkpoint of the BERT family")
    if arguments.device == "cuda" and not torch.cuda.is_available():
        raise DeviceUnavailable("--device cuda: this PyTorch finds no GPU; install its build for CUDA, or take --device cpu")
    if problem := wrong(arguments, datasets):
        raise InvalidSettings(problem)


def wrong(arguments: argparse.Namespace, datasets: dict[str, Dataset]) -> str:
    """What does not fit together in the arguments; empty if all does."""
    least = {"queries": 1, "negatives": 1, "depth": 1, "held_out": 1, "measured": 1, "steps": 1, "evaluate_every": 1}
    for name, value in least.items():
        if getattr(arguments, name) < value:
            return f"--{name.replace('_', '-')} is {getattr(arguments, name)}; give at least {value}"
    if (arguments.reranked or 0) > arguments.depth:
        return f"--reranked is {arguments.reranked}, but held-out queries have --depth {arguments.depth} candidates"
    if (arguments.window or 0) > arguments.max_tokens:
        return f"--window is {arguments.window}, but the model is trained with --max-tokens {arguments.max_tokens}"
    if arguments.teacher and arguments.loss == "infonce":
        return "--loss infonce reads no labels, so --teacher would teach nothing; take another loss"
    if unknown := [name for name, _ in arguments.licence if name not in datasets]:
        return f"--licence {unknown[0]}: no data set is called so; there are {', '.join(datasets)}"
    return ""


def settle(plan: Path, chosen: dict[str, Any]) -> None:
    """Write down what was chosen, or make sure that it is what was chosen before, if anything came of that."""
    chosen = json.loads(json.dumps(chosen))
    if plan.is_file() and any((plan.parent / name).is_file() for name in ("drawn.jsonl", "examples.jsonl")):
        before = json.loads(plan.read_text(encoding="utf-8"))
        if differing := sorted(name for name in {*before, *chosen} if before.get(name) != chosen.get(name)):
            names = ", --".join(differing).replace("_", "-")
            raise InvalidSettings(f"{plan.parent} holds a run with another --{names}: {plan} has it; or name another --out")
        return
    unfinished = plan.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(chosen, indent=2) + "\n", encoding="utf-8")
    unfinished.replace(plan)


if __name__ == "__main__":
    main()
