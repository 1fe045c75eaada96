"""Weight-only int8 and int4: what the checkpoint's floats become on disk, and how large the step between two values is."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def quantize_blocks(weight: Array, block: int, bits: int = 8) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Round a matrix to 8 or 4 bits with one scale for each `block` neighbouring inputs, in the layout of MatMulNBits.

    Args:
        weight: (outputs, inputs); the last block of a row is filled up with zeros.
        block: weights that share a scale.
        bits: 8 or 4.

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
        scales = _scales(blocks)
        return (np.rint(blocks / scales) + 128).astype(np.uint8), scales[..., 0]
    # Of few steps none is to be wasted: the largest weight, whatever its sign, becomes the lowest of -8 to 7.
    largest = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=-1)[..., None], axis=-1)
    scales = np.where(largest != 0, largest / -8, 1.0).astype(np.float32)
    integers = np.clip(np.rint(blocks / scales) + 8, 0, 15).astype(np.uint8)
    return integers[..., 0::2] | (integers[..., 1::2] << 4), scales[..., 0]


def quantize_rows(table: Array) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Round a table (rows, width) to 8 bits with one scale a row: integers (rows, width), scales (rows, 1)."""
    table = table.astype(np.float32)
    scales = _scales(table)
    return np.rint(table / scales).astype(np.int8), scales


def _scales(values: Array) -> NDArray[np.float32]:
    largest = np.abs(values).max(axis=-1, keepdims=True)
    return np.where(largest > 0, largest / 127, 1.0).astype(np.float32)
