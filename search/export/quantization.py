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
    scales = _scales(blocks, 2 ** (bits - 1) - 1)
    integers = (np.rint(blocks / scales) + 2 ** (bits - 1)).astype(np.uint8)
    if bits == 4:  # noqa: PLR2004 -- two to a byte
        integers = integers[..., 0::2] | (integers[..., 1::2] << 4)
    return integers, scales[..., 0]


def quantize_rows(table: Array) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Round a table (rows, width) to 8 bits with one scale a row: integers (rows, width), scales (rows, 1)."""
    table = table.astype(np.float32)
    scales = _scales(table, 127)
    return np.rint(table / scales).astype(np.int8), scales


def _scales(values: Array, largest: int) -> NDArray[np.float32]:
    extreme = np.abs(values).max(axis=-1, keepdims=True)
    return np.where(extreme > 0, extreme / largest, 1.0).astype(np.float32)
