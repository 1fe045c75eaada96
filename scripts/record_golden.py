"""Record what transformers says of random checkpoints: the scores that the exported graphs must give.

    python -m venv torch && torch/bin/pip install torch transformers ml_dtypes
    torch/bin/python scripts/record_golden.py tests/support/golden.json

The checkpoints are made by tests/support/checkpoints.py from seeds, here and in the tests alike. Prompts are written out here
as their publishers print them, rather than taken from the recipes that they check.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

try:
    import torch
    import transformers
except ModuleNotFoundError as missing:
    sys.exit(f"{missing.name} is missing.\n\n{__doc__}")

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from checkpoints import CONFIGS, is_decoder, token_rows, tokenizer, write_checkpoint

LENGTHS = (5, 1, 17, 64, 33, 100)
TOKENS = (77, 300)
PAIRS = [
    ("when does the cat sleep?", "the cat sleeps on the mat, all day"),
    ("  What is 2+2?\n", "4 "),
    ("What is the answer?", "a document about dogs\n\nand cats.\n" * 3),
    ("日本語の質問", "naïve café Ω≈ç√ 👩‍🚀"),
]
ZERANK = "<|im_start|>system\n{query}<|im_end|>\n<|im_start|>user\n{document}<|im_end|>\n<|im_start|>assistant\n"
QWEN3 = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct provided. "
    'Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
    "<Instruct>: Given a web search query, retrieve relevant passages that answer the query\n"
    "<Query>: {query}\n<Document>: {document}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
)


def scores(model: Any, config: dict[str, Any]) -> dict[str, Any]:
    """Scores of ragged rows, each run alone: two tokens' logits or the classifier's, and mean log-probabilities of rows."""
    rows = token_rows(config, LENGTHS)
    outputs = [model(torch.tensor([row])).logits[0] for row in rows]
    if "Classification" in config["architectures"][0]:
        return {"scores": [output.tolist() for output in outputs]}
    chances = [output.log_softmax(-1)[range(len(row) - 1), row[1:]] for output, row in zip(outputs, rows, strict=True)]
    return {
        "scores": [output[-1, list(TOKENS)].tolist() for output in outputs],
        "mean_log_probability": [chance.mean().item() if len(chance) else 0.0 for chance in chances],
    }


def moved(model: Any, row: list[int], tokens: Sequence[int] | None) -> dict[str, float]:
    """By how much a decoder's scores of a row move at most without a part of the model: proof that a comparison would notice.

    The scores are the logits of the tokens after the row; None for a classifier's.
    """
    ids, length = torch.tensor([row]), len(row)

    def score(**changed: Any) -> Any:
        logits = model(ids, **changed).logits[0]
        return logits if tokens is None else logits[-1, list(tokens)]

    whole = score()
    found = {
        "mask": score(attention_mask=torch.zeros(1, 1, length, length)),
        "rope": score(position_ids=torch.zeros(1, length, dtype=torch.long)),
    }
    parts = [layer.self_attn for layer in model.model.layers if hasattr(layer.self_attn, "q_norm")]
    norms = [(part, name, getattr(part, name)) for part in parts for name in ("q_norm", "k_norm")]
    for part, name, _ in norms:
        setattr(part, name, torch.nn.Identity())
    if norms:
        found["head_norm"] = score()
    for part, name, norm in norms:
        setattr(part, name, norm)
    return {part: abs(without - whole).max().item() for part, without in found.items()}


def of_pairs(model: Any, read: Any) -> dict[str, list[float]]:
    """Scores of texts, prompts and tokens made as the publishers' code makes them."""

    def last(prompt: str) -> Any:
        output: Any = model(torch.tensor([read.encode(prompt).ids])).logits[0]
        return output if output.ndim == 1 else output[-1]

    def token(text: str) -> int:
        ids: list[int] = read.encode(text).ids
        assert len(ids) == 1, text  # noqa: S101
        return ids[0]

    stripped = [last(ZERANK.format(query=query.strip(), document=document.strip())) for query, document in PAIRS]
    if stripped[0].shape[-1] == 1:
        return {"classifier": [logits[0].item() for logits in stripped]}
    plain = [last(QWEN3.format(query=query, document=document)) for query, document in PAIRS]
    return {
        "zerank": [logits[token("Yes")].item() for logits in stripped],
        "qwen3-reranker": [(logits[token("yes")] - logits[token("no")]).item() for logits in plain],
    }


def record(config: dict[str, Any], read: Any, *, with_pairs: bool) -> dict[str, Any]:
    """Everything of one model."""
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        model = getattr(transformers, config["architectures"][0]).from_pretrained(
            write_checkpoint(Path(folder), config), dtype=torch.float32, attn_implementation="eager"
        )
        found = scores(model, config)
        if is_decoder(config) and "mean_log_probability" in found:
            found["moved_without"] = moved(model, token_rows(config, LENGTHS)[-1], TOKENS[:1])
        if with_pairs:
            found["pairs"] = of_pairs(model, read)
    return found


def main() -> None:
    """Write the file of goldens."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    out: Path = parser.parse_args().out
    read = tokenizer()
    golden = {
        "recorded_by": "scripts/record_golden.py",
        "with": {"transformers": transformers.__version__, "torch": torch.__version__.partition("+")[0]},
        "lengths": LENGTHS,
        "tokens": TOKENS,
        "texts": PAIRS,
        "models": {name: record(config, read, with_pairs=name.startswith("qwen3")) for name, config in CONFIGS.items()},
        "tokenizer": json.loads(read.to_str()),
    }
    out.write_text(json.dumps(golden, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
