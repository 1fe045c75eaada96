"""Rotary position embeddings: the angle of every position and pair of dimensions, scaled as a config asks."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.errors import UnsupportedModel

Array = NDArray[np.float64]

_THETA = 10_000.0  # what the families' configs mean where they say nothing


def rope_tables(config: Mapping[str, Any], head_size: int, positions: int) -> tuple[Array, Array]:
    """Cosines and sines, each (positions, head_size / 2).

    The kinds are those of Hugging Face configs: default, linear (arXiv:2306.15595), llama3 (Llama 3.1), yarn (arXiv:2309.00071).

    Raises:
        UnsupportedModel: another kind, one that turns only part of a head, or several kinds.
        KeyError, TypeError, ValueError, ArithmeticError: a value is missing or of the wrong kind.
    """
    rope = dict(config.get("rope_scaling") or config.get("rope_parameters") or {})
    if nested := [key for key, value in rope.items() if isinstance(value, dict)]:
        message = (
            f"config.json has rotary embeddings for {', '.join(map(str, nested))[:200]}; this graph computes one kind in all layers"
        )
        raise UnsupportedModel(message)
    kind = rope.get("rope_type", rope.get("type", "default"))
    base = float(rope.get("rope_theta") or config.get("rope_theta") or _THETA)
    original = config.get("original_max_position_embeddings", rope.get("original_max_position_embeddings"))
    rope["original_max_position_embeddings"] = int(original or config["max_position_embeddings"])
    if (share := rope.get("partial_rotary_factor", config.get("partial_rotary_factor", 1.0))) != 1:
        raise UnsupportedModel(f"config.json has partial_rotary_factor = {str(share)[:200]}; this graph turns whole heads only")
    with np.errstate(divide="raise", invalid="raise", over="raise"):  # which callers expect of numbers that make none
        return _tables(rope, kind, base, head_size, positions)


def _tables(rope: Mapping[str, Any], kind: Any, base: float, head_size: int, positions: int) -> tuple[Array, Array]:
    frequencies: Array = base ** (-np.arange(0, head_size, 2) / head_size)
    length = 1.0
    match kind:
        case "default":
            pass
        case "linear":
            frequencies = frequencies / rope["factor"]
        case "llama3":
            frequencies = _llama3(frequencies, rope)
        case "yarn":
            frequencies, length = _yarn(frequencies, base, rope)
        case _:
            message = f"config.json has rope_type = {kind!r:.200}; this graph computes default, linear, llama3 and yarn"
            raise UnsupportedModel(message)
    angles = np.arange(positions)[:, None] * frequencies
    cosines, sines = length * np.cos(angles), length * np.sin(angles)
    if not all(np.isfinite(table.astype(np.float32)).all() for table in (cosines, sines)):
        raise ValueError("the rotary embeddings are no numbers")
    return cosines, sines


def _llama3(frequencies: Array, rope: Mapping[str, Any]) -> Array:
    """Low frequencies are divided by the factor, high ones unscaled, those between blended."""
    turns = rope["original_max_position_embeddings"] * frequencies / (2 * math.pi)  # over the original context
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    unscaled = np.clip((turns - low) / (high - low), 0, 1)
    blended: Array = unscaled * frequencies + (1 - unscaled) * frequencies / rope["factor"]
    return blended


def _yarn(frequencies: Array, base: float, rope: Mapping[str, Any]) -> tuple[Array, float]:
    """As llama3, but blended along the dimensions; and the factor by which queries and keys grow."""
    if rope.get("mscale") or rope.get("mscale_all_dim"):
        raise UnsupportedModel("config.json has a yarn rope with mscale, which this graph does not compute")
    factor = rope["factor"]
    original = rope["original_max_position_embeddings"]
    size = 2 * len(frequencies)

    def dimension(turns: float) -> float:
        return size * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(base))

    low, high = dimension(rope.get("beta_fast") or 32), dimension(rope.get("beta_slow") or 1)
    if rope.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, size - 1)
    unscaled = 1 - np.clip((np.arange(size // 2) - low) / max(high - low, 0.001), 0, 1)
    grown = rope.get("attention_factor") or (0.1 * math.log(factor) + 1 if factor > 1 else 1.0)
    return unscaled * frequencies + (1 - unscaled) * frequencies / factor, grown
