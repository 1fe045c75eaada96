"""What has a run left to go on from? The states that the trainer saves, each a folder, the last of which may be half written."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file


def last_whole(states: Path) -> str | None:
    """The last state that was written to its end; what a killed run left unfinished is removed."""
    for state in reversed(_by_step(states)):
        try:
            json.loads((state / "trainer_state.json").read_text())  # the trainer writes it last
        except (OSError, ValueError):
            shutil.rmtree(state)
        else:
            return str(state)
    return None


def step(state: Path) -> int:
    """After how many steps it was saved."""
    return int(state.name.rpartition("-")[2])


def _by_step(states: Path) -> list[Path]:
    return sorted(states.glob("checkpoint-*"), key=step)


def regular(states: Path, every: int, steps: int) -> list[Path]:
    """The states that any run of these arguments has: none of those where a time was over."""
    return [state for state in _by_step(states) if step(state) % every == 0 or step(state) == steps]


def mean(states: Sequence[Path]) -> dict[str, torch.Tensor]:
    """The mean of their weights, by name."""
    stored = [load_file(str(state / "model.safetensors")) for state in states]
    return {name: torch.stack([weights[name] for weights in stored]).mean(dim=0) for name in stored[0]}
