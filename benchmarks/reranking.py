"""How fast is the causal reranker beside sentence-transformers' CrossEncoder, and how much of the machine does either use?

    python benchmarks/reranking.py --shape 0.6B --equal 6 96 --ragged 8 200
    python benchmarks/reranking.py --shape 4B --device cuda --soak

Both load one random checkpoint of Qwen3's true shape and read the same tokens, each word of the texts being one. Ours scores from
text (`CausalReranker.score`) and from tokens (`Decoder.scores`), theirs from text (`CrossEncoder.predict` and `LogitScore`, sdpa).
Each gets the best of several batch sizes; then they and plain matrix products take turns. FLOP: two for each real token and weight
outside the tables, and the causal half of attention.

Beside torch, transformers 5 and sentence-transformers 6 it needs filelock, ml_dtypes, numpy, onnx, onnxruntime, pydantic-settings,
safetensors >= 0.8 and tokenizers; on disk, 4 bytes a parameter where both have 16 bits.
"""

import argparse
import importlib.metadata
import json
import math
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import record
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))  # where this package is not installed

SHAPES = {  # width, layers, heads, inner width, vocabulary
    "tiny": (256, 4, 16, 768, 8192),
    "0.6B": (1024, 28, 16, 3072, 151_936),
    "1.7B": (2048, 28, 16, 6144, 151_936),
    "4B": (2560, 36, 32, 9728, 151_936),
}
HEAD, MAX_TOKENS, YES, FIRST_WORD, QUERY_WORDS, TURNS, SETTLED = 128, 4096, 2, 1000, 12, 500, 50
BLOCK = 4_194_301  # random numbers that repeat; a prime, so that no two rows are alike
BATCHES = {"cuda": ((4096, 8192, 16384, 32768), (8, 16, 32, 64)), "cpu": ((512, 2048, 8192), (1, 4, 16))}  # tokens; pairs
PACKAGES = ("torch", "transformers", "sentence-transformers", "onnxruntime", "onnxruntime-gpu", "numpy", "tokenizers")
DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}  # as torch calls them

word = "w{:06}".format  # all equally long, so that theirs, which sorts by characters, sorts by tokens
Scores = NDArray[np.float32]
Shape = tuple[int, int, int, int, int]


class Case(NamedTuple):
    """A query, the texts to be scored against it, and the tokens of each pair."""

    query: str
    texts: list[str]
    rows: list[list[int]]


def write_checkpoint(folder: Path, shape: Shape) -> int:
    """Random weights, and a tokenizer with a word for each token; gives the number of weights outside the tables."""
    import torch
    import transformers
    from safetensors.torch import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers

    width, layers, heads, inner, vocabulary = shape
    sizes = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads, "intermediate_size": inner}
    known = {"architectures": ["Qwen3ForCausalLM"], "dtype": "bfloat16", "pad_token_id": 1, "vocab_size": vocabulary}
    alike = {"num_key_value_heads": 8, "head_dim": HEAD, "max_position_embeddings": MAX_TOKENS, "tie_word_embeddings": True}
    config = transformers.Qwen3Config(**sizes, **alike, **known)
    with torch.device("meta"):
        model = transformers.Qwen3ForCausalLM(config)
    config.save_pretrained(folder)
    block = (torch.randn(BLOCK, generator=torch.Generator().manual_seed(1)) * 0.02).to(torch.bfloat16)
    files = {}
    for number, (name, weights) in enumerate(model.named_parameters()):
        values = block.roll(number * 104_729).repeat(-(-weights.numel() // BLOCK))[: weights.numel()]
        files[name] = f"{number:05}.safetensors"
        save_file({name: (torch.ones_like(values) if weights.ndim == 1 else values).reshape(weights.shape)}, folder / files[name])
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": files}))
    words = {"[UNK]": 0, "[PAD]": 1, "Yes": YES, **{word(number): number for number in range(YES + 1, vocabulary)}}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))  # noqa: S106 -- no password
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]").save_pretrained(folder)  # noqa: S106
    return sum(weights.numel() for name, weights in model.named_parameters() if "embed" not in name)


def texts(lengths: Sequence[int], vocabulary: int, seed: int = 2) -> Case:
    """Random pairs of so many tokens."""
    rng = np.random.default_rng(seed)
    query = rng.integers(FIRST_WORD, vocabulary, QUERY_WORDS).tolist()
    documents = [rng.integers(FIRST_WORD, vocabulary, length - QUERY_WORDS).tolist() for length in lengths]
    written = [" ".join(map(word, tokens)) for tokens in documents]
    return Case(" ".join(map(word, query)), written, [query + tokens for tokens in documents])


def ragged(count: int, longest: int) -> list[int]:
    """Lengths as passages have them: log-normal, from 40."""
    drawn = np.random.default_rng(3).lognormal(math.log(min(220, longest / 2)), 0.7, count)
    return [int(length) for length in drawn.clip(40, longest)]


def cross_encoder(folder: Path, activations: str, device: str) -> Any:
    """Theirs, which gives the logit of Yes."""
    import sentence_transformers
    import torch

    kinds = sentence_transformers.cross_encoder.modules
    options = {"dtype": getattr(torch, DTYPES[activations]), "attn_implementation": "sdpa"}
    reader = kinds.Transformer(str(folder), transformer_task="text-generation", model_kwargs=options)
    modules = [reader, kinds.LogitScore(true_token_id=YES)]
    return sentence_transformers.CrossEncoder(modules=modules, device=device, activation_fn=torch.nn.Identity())


def predict(model: Any, case: Case, batch_size: int) -> Any:
    """Their scores."""
    return model.predict([(case.query, text) for text in case.texts], batch_size=batch_size, show_progress_bar=False)


def products(shape: Shape, activations: str, device: str) -> tuple[Callable[[], None], float]:
    """Plain matrix products as a layer has them, and their FLOP."""
    import torch

    tokens, repeats = (8192, 20) if device == "cuda" else (1024, 4)
    (width, _, _, inner, _), dtype = shape, getattr(torch, DTYPES[activations])
    rows, wide = (torch.randn(*size, device=device).to(dtype) for size in ((tokens, width), (width, inner)))

    def run() -> None:
        for _ in range(repeats):
            torch.matmul(rows, wide)
        if device == "cuda":
            torch.cuda.synchronize()

    return run, 2.0 * repeats * tokens * width * inner


def in_turns(systems: dict[Any, Callable[[], Any]], rounds: int, warm: int) -> tuple[dict[Any, list[float]], dict[Any, Any]]:
    """Seconds of each system, in turn, after rounds that do not count; and what each said last."""
    taken: dict[Any, list[float]] = {name: [] for name in systems}
    said: dict[Any, Any] = {}
    for _ in range(warm + rounds):
        for name, run in systems.items():
            started = time.perf_counter()
            said[name] = run()
            taken[name].append(time.perf_counter() - started)
    return {name: times[warm:] for name, times in taken.items()}, said


def fastest(run: Callable[[int], Any], options: Sequence[int]) -> dict[int, float]:
    """Seconds by batch size, the best of three, the fastest first."""
    taken, _ = in_turns({option: partial(run, option) for option in options}, 3, 0)
    return {option: min(taken[option]) for option in sorted(taken, key=lambda option: min(taken[option]))}


def agreement(one: Scores, other: Scores) -> dict[str, float]:
    """How far apart scores are; Kendall's tau-b is 1 where both order all pairs alike."""
    signs = [np.sign(np.subtract.outer(scores, scores)) for scores in (one, other)]
    norm = math.sqrt((signs[0] ** 2).sum() * (signs[1] ** 2).sum())
    return {"largest difference": float(np.abs(one - other).max()), "tau": float((signs[0] * signs[1]).sum() / norm)}


class Bench:
    """Both systems, loaded from the same weights."""

    def __init__(self, folder: Path, chosen: argparse.Namespace) -> None:
        import torch

        from search.export.model_folder import export
        from search.export.precision import precision
        from search.reranking.causal import CausalReranker
        from search.reranking.language_model import LanguageModel
        from search.settings import CudaSettings

        self.chosen, self.device, self.shape, self.checkpoint = chosen, chosen.device, SHAPES[chosen.shape], folder / "checkpoint"
        kind = precision(chosen.weights or ("bf16" if self.device == "cuda" else "fp32"), chosen.activations)
        self.activations = kind.calculated_in
        self.checkpoint.mkdir()
        self.parameters, recipe = write_checkpoint(self.checkpoint, self.shape), folder / "recipe.json"
        head = {"kind": "token_logits", "tokens": {" Yes": 1.0}}
        recipe.write_text(json.dumps({"head": head, "template": "{query} {document}", "max_tokens": MAX_TOKENS}))
        exported = export(str(self.checkpoint), folder / "onnx", precision=kind, recipe=str(recipe), cache=folder)
        cuda = CudaSettings(**json.loads(chosen.cuda))
        self.load = partial(LanguageModel, str(folder / "onnx"), device=self.device, cuda=cuda)
        self.model = self.load()
        self.ours, self.theirs = CausalReranker(self.model), cross_encoder(self.checkpoint, self.activations, self.device)
        self.about = {
            "shape": chosen.shape,
            "device": torch.cuda.get_device_name() if self.device == "cuda" else "cpu",
            "ours": f"weights in {kind.weights}, activations in {self.activations}; {cuda}",
            "theirs": f"all in {self.activations}",
            "weights outside the tables": self.parameters,
            "export": {"seconds": exported.seconds, "MB": exported.megabytes},
        }

    def score(self, case: Case, batch_tokens: int, *, tokens: bool = False) -> Scores:
        """Our scores, from text or from tokens."""
        self.model.decoder._batch_tokens = batch_tokens  # noqa: SLF001 -- loading once more for each takes longer than measuring
        return self.model.decoder.scores(case.rows)[:, 0] if tokens else self.ours.score(case.query, case.texts).scores

    def compare(self, lengths: Sequence[int]) -> dict[str, Any]:
        """All systems on the same pairs."""
        case, (budgets, sizes) = texts(lengths, self.shape[-1]), BATCHES[self.device]
        ours = fastest(partial(self.score, case), self.chosen.batch_tokens or budgets)
        theirs = fastest(partial(predict, self.theirs, case), self.chosen.batch_sizes or sizes)
        plain, plain_flop = products(self.shape, self.activations, self.device)
        systems: dict[str, Callable[[], Any]] = {
            "ours": partial(self.score, case, next(iter(ours))),
            "ours, from tokens": partial(self.score, case, next(iter(ours)), tokens=True),
            "theirs": partial(predict, self.theirs, case, next(iter(theirs))),
        }
        taken, said = in_turns({"plain": plain, **systems}, self.chosen.rounds, 1)
        median = {name: statistics.median(times) for name, times in taken.items()}
        square = 2 * self.shape[1] * self.shape[2] * HEAD
        flop, ceiling = sum(2 * self.parameters * n + square * n * (n + 1) for n in lengths), plain_flop / median["plain"]
        work = {"pairs/s": len(lengths), "tokens/s": sum(lengths), "TFLOP/s": flop / 1e12, "of matrix products": flop / ceiling}
        if self.activations != "fp32":
            said["theirs in fp32"] = predict(cross_encoder(self.checkpoint, "fp32", self.device), case, 4)
        return {
            "pairs": len(lengths),
            "tokens": sum(lengths),
            "seconds by our batch_tokens": ours,
            "seconds by their batch_size": theirs,
            "matrix products, TFLOP/s": ceiling / 1e12,
            **{name: {unit: amount / median[name] for unit, amount in work.items()} for name in systems},
            "seconds": taken,
            "ours is faster by": median["theirs"] / median["ours"],
            "standard deviation of their scores": float(said["theirs"].std()),
            "apart": {f"{a} from {b}": agreement(said[a], said[b]) for b in said if "theirs" in b for a in systems if a != b},
        }

    def soak(self) -> dict[str, Any]:
        """Memory while the embedder, or without FastEmbed the same model again, and the reranker take turns at all lengths."""
        import torch

        beside: Any
        self.theirs = None
        try:
            from search.embedding.dense import FastEmbedEmbedder as Embedder

            beside, reads = Embedder("all-MiniLM-L6-v2", device=self.device, cache=self.checkpoint).embed_passages, "texts"
        except ImportError:
            beside, reads = self.load().decoder.scores, "rows"
        rng, taken = np.random.default_rng(4), {}
        for turn in range(1, TURNS + 1):
            lengths = rng.integers(16, rng.integers(32, self.chosen.ragged[1]), rng.integers(1, 32)).tolist()
            case = texts(lengths, self.shape[-1], turn)
            beside(getattr(case, reads))
            self.score(case, 8192)
            if turn % SETTLED == 0:
                torch.cuda.empty_cache()
                free, total = torch.cuda.mem_get_info() if self.device == "cuda" else (0, resource.getrusage(0).ru_maxrss * 1024)
                taken[turn] = (total - free) / 1e6
        return {"beside": beside.__qualname__, "MB after turns": taken, "growth": taken[TURNS] / taken[SETTLED]}


def keep(chosen: argparse.Namespace, figures: dict[str, Any]) -> None:
    """Record the figures, with what is installed here."""
    out = chosen.out or record.RESULTS / f"reranking-{chosen.shape}-{chosen.device}-{chosen.weights or 'default'}.json"
    installed = {str(found.name).lower().replace("_", "-") for found in importlib.metadata.distributions()}
    commit = {"_commit": lambda: chosen.commit} if chosen.commit else {}
    vars(record).update(commit, RESULTS=out.parent, PACKAGES=[name for name in PACKAGES if name in installed])
    record.write(out.stem, figures)
    for name, pairs in figures["pairs"].items():
        for system in ("ours", "ours, from tokens", "theirs"):
            rates = " ".join(f"{pairs[system][unit]:12.4g} {unit}" for unit in ("pairs/s", "tokens/s", "of matrix products"))
            print(f"{name:8}{system:18}{rates}")
        print(f"{name:8}ours is faster by {pairs['ours is faster by']:.2f}; apart: {pairs['apart']}")


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="tiny")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--weights", help="fp32, fp16, bf16, int8 or int4; without: fp32 on the CPU, bf16 on CUDA")
    parser.add_argument("--activations", help="for int8 and int4: fp32, fp16 or bf16, which theirs has all in")
    parser.add_argument("--cuda", default="{}", help='settings of the section cuda as JSON: {"attention": "flash"}')
    parser.add_argument("--pairs", choices=("equal", "ragged", "both"), default="both")
    parser.add_argument("--equal", type=int, nargs=2, default=(64, 256), help="how many pairs of how many tokens")
    parser.add_argument("--ragged", type=int, nargs=2, default=(100, 800), help="how many pairs of at most how many tokens")
    parser.add_argument("--batch-tokens", type=int, nargs="*", help="ours to try; without: some that suit the device")
    parser.add_argument("--batch-sizes", type=int, nargs="*", help="theirs to try")
    parser.add_argument("--rounds", type=int, default=5, help="turns that count")
    parser.add_argument("--soak", action="store_true", help=f"watch the memory over {TURNS} turns")
    parser.add_argument("--commit", help="what is measured, where there is no repository")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    lengths = {"equal": [chosen.equal[1]] * chosen.equal[0], "ragged": ragged(*chosen.ragged)}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), chosen)
        pairs = {name: bench.compare(sizes) for name, sizes in lengths.items() if chosen.pairs in {name, "both"}}
        keep(chosen, {**bench.about, "pairs": pairs})
        if chosen.soak:
            keep(chosen, {**bench.about, "pairs": pairs, "memory": bench.soak()})


if __name__ == "__main__":
    main()
