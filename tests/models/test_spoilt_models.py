"""Whatever a model folder holds, loading it succeeds or fails with an error of ours, within bounds of time and memory."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from languages import checkpoint, exported, recipe_file
from tiny import tiny_model


def folder_of(kind: str, root: Path) -> Path:
    match kind:
        case "embedder":
            folder = tiny_model(root / "model", "encoder")
            (folder / "modules.json").write_text('[{"type": "sentence_transformers.models.Transformer"}]')
            return folder
        case "cross-encoder":
            folder = tiny_model(root / "model", "classifier")
            golden = {"query": "a", "document": "b", "score": 1.0, "source": "export", "tolerance": 2.0}
            (folder / "recipe.json").write_text(json.dumps({"weight": 0.5, "scale": 2.0, "column": 0, "golden": [golden][:0]}))
            return folder
        case "language-model":
            return exported(root, "qwen3", "zerank-2")
        case "listwise":
            return exported(root, "qwen3", "listwise")
        case "encoder-checkpoint":
            folder = checkpoint(root / "checkpoint", "roberta")
            (folder / "tokenizer_config.json").write_text('{"pad_token": {"content": "<|endoftext|>"}, "model_max_length": 100}')
            return folder
        case _:
            folder = checkpoint(root / "checkpoint", "llama-yarn")
            shutil.copy(recipe_file(root, "yes-no", max_tokens=300), folder / "asked.json")
            return folder


KINDS = ["embedder", "cross-encoder", "language-model", "listwise", "encoder-checkpoint", "checkpoint"]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_with_one_thing_wrong(kind: str, tmp_path: Path, in_full: bool) -> None:  # noqa: FBT001  # a fixture
    folder = folder_of(kind, tmp_path / "source")
    script, count = Path(__file__).parents[1] / "support" / "spoiling.py", 1_000 if in_full else 15
    use = "language-model" if kind == "listwise" else kind
    command = [sys.executable, str(script), use, str(folder), str(tmp_path), "1", str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    *faults, peak = done.stdout.splitlines() or [""]
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert faults == []
    assert int(peak.removeprefix("peak ").removesuffix(" MB")) < 3_000
