"""Record what transformers says of random checkpoints: the scores that the exported graphs must give.

    python -m venv torch && torch/bin/pip install torch transformers ml_dtypes
    torch/bin/python scripts/record_golden.py tests/golden.json

The checkpoints are made by tests/checkpoints.py from seeds, here and in the tests alike.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from checkpoints import CONFIGS, is_decoder, token_rows, write_checkpoint

LENGTHS = (5, 1, 17, 64, 33, 100)
TOKENS = (77, 300)


def record(name: str, config: dict[str, Any]) -> dict[str, Any]:
    """Scores of ragged rows, each run alone: logits of two tokens or of the classifier, and log-probabilities of whole rows."""
    import torch
    import transformers

    rows = token_rows(config, LENGTHS)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        model = getattr(transformers, config["architectures"][0]).from_pretrained(
            write_checkpoint(Path(folder), config), dtype=torch.float32, attn_implementation="eager"
        )
        outputs = [model(torch.tensor([row])).logits[0] for row in rows]
    if "Classification" in config["architectures"][0]:
        return {"scores": [output.tolist() for output in outputs]}
    found = {"scores": [output[-1, list(TOKENS)].tolist() for output in outputs]}
    if is_decoder(config):
        chances = [output.log_softmax(-1)[range(len(row) - 1), row[1:]] for output, row in zip(outputs, rows, strict=True)]
        found["mean_log_probability"] = [chance.mean().item() if len(chance) else 0.0 for chance in chances]
    print(name, "standard deviation", torch.tensor(found["scores"]).std().item(), file=sys.stderr)
    return found


def main() -> None:
    """Write the file of goldens."""
    import torch
    import transformers

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    out: Path = parser.parse_args().out
    golden = {
        "recorded_by": "scripts/record_golden.py",
        "with": {"transformers": transformers.__version__, "torch": torch.__version__.partition("+")[0]},
        "lengths": LENGTHS,
        "tokens": TOKENS,
        "models": {name: record(name, config) for name, config in CONFIGS.items()},
    }
    out.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
