"""Weight-only int8: what the checkpoint's floats become on disk, and how large the step between two values is."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
_LARGEST = 127.0
_ZERO_POINT = 128  # MatMulNBits stores unsigned integers around 2 ** (bits - 1)


def quantize_blocks(weight: Array, block: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Round a matrix to 8 bits with one scale for each `block` neighbouring inputs, in the layout of MatMulNBits.

    Args:
        weight: (outputs, inputs), inputs a multiple of `block`.
        block: weights that share a scale.

    Returns:
        integers (outputs, inputs / block, block) around 128, and scales (outputs, inputs / block).

    Raises:
        ValueError: the inputs do not divide into blocks.
    """
    outputs, inputs = weight.shape
    if inputs % block:
        message = f"a matrix with {inputs} inputs does not divide into blocks of {block}"
        raise ValueError(message)
    blocks = weight.astype(np.float32).reshape(outputs, inputs // block, block)
    scales = _scales(blocks)
    integers = np.rint(blocks / scales) + _ZERO_POINT
    return integers.astype(np.uint8), scales[..., 0]


def quantize_rows(table: Array) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Round a table (rows, width) to 8 bits with one scale a row: integers (rows, width), scales (rows, 1)."""
    table = table.astype(np.float32)
    scales = _scales(table)
    return np.rint(table / scales).astype(np.int8), scales


def _scales(values: Array) -> NDArray[np.float32]:
    largest = np.abs(values).max(axis=-1, keepdims=True)
    return np.where(largest > 0, largest / _LARGEST, 1.0).astype(np.float32)
