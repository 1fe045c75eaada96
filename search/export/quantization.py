"""Weight-only int8 and int4: what the checkpoint's floats become on disk, and how large the step between two values is."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_FACTORS = (1.0, 0.95, 0.9, 0.85, 1.05)


def quantize_blocks(
    weight: Array, block: int, bits: int = 8, stored: Any = np.float32
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Round a matrix to 8 or 4 bits with one scale for each `block` neighbouring inputs, in the layout of MatMulNBits.

    Args:
        weight: (outputs, inputs); the last block of a row is filled up with zeros.
        block: weights that share a scale.
        bits: 8 or 4.
        stored: the type that scales will be stored in, to which they are rounded before the weights are.

    Returns:
        integers (outputs, blocks, block * bits / 8) around 2 ** (bits - 1), the lower half of a byte first;
        scales (outputs, blocks).
    """
    outputs, inputs = weight.shape
    weight = weight.astype(np.float32)
    if inputs % block:
        weight = np.pad(weight, ((0, 0), (0, -inputs % block)))
    blocks = weight.reshape(outputs, -1, block)
    if bits == 8:  # noqa: PLR2004 -- a byte each
        scales = _as_stored(_scales(blocks), stored)
        return (np.rint(blocks / scales) + 128).astype(np.uint8), scales[..., 0]
    scales = _as_stored(_best_scales(blocks), stored)
    integers = (_four_bits(blocks, scales) + 8).astype(np.uint8)
    packed: NDArray[np.uint8] = integers[..., 0::2] | (integers[..., 1::2] << np.uint8(4))
    return packed, scales[..., 0]


def _best_scales(blocks: Array) -> NDArray[np.float32]:
    """For each block the scale of least squared error among a few.

    Of sixteen steps none is to be wasted: the largest weight, whatever its sign, is to become the lowest of -8 to 7, or to lie a
    little beyond it, so that the many small ones have finer steps.
    """
    largest = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=-1)[..., None], axis=-1)
    first = np.where(largest != 0, largest / -8, 1.0).astype(np.float32)
    best, least = first, np.full_like(first, np.inf)
    for factor in _FACTORS:
        scales = first * np.float32(factor)
        error = ((_four_bits(blocks, scales) * scales - blocks) ** 2).sum(axis=-1, keepdims=True)
        best, least = np.where(error < least, scales, best), np.minimum(error, least)
    return best


def _four_bits(blocks: Array, scales: Array) -> Array:
    return np.clip(np.rint(blocks / scales), -8, 7)


def quantize_rows(table: Array, stored: Any = np.float32) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Round a table (rows, width) to 8 bits with one scale a row: integers (rows, width), scales (rows, 1)."""
    table = table.astype(np.float32)
    scales = _as_stored(_scales(table), stored)
    return np.rint(table / scales).astype(np.int8), scales


def _as_stored(scales: Array, stored: Any) -> NDArray[np.float32]:
    rounded = scales.astype(stored).astype(np.float32)
    return np.where(rounded != 0, rounded, 1.0).astype(np.float32)  # too small for the type: the block becomes zero


def _scales(values: Array) -> NDArray[np.float32]:
    largest = np.abs(values).max(axis=-1, keepdims=True)
    return np.where(largest > 0, largest / 127, 1.0).astype(np.float32)
