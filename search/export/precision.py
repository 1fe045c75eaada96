"""In which numbers are weights stored, and in which does the model calculate?"""

from dataclasses import dataclass
from typing import Any, Literal, cast

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from search.errors import InvalidSettings, UnsupportedModel

Weights = Literal["fp32", "fp16", "bf16", "int8", "int4"]
Activations = Literal["fp32", "fp16", "bf16"]

_TYPES: dict[str, tuple[Any, int]] = {
    "fp32": (np.dtype(np.float32), TensorProto.FLOAT),
    "fp16": (np.dtype(np.float16), TensorProto.FLOAT16),
    "bf16": (np.dtype(ml_dtypes.bfloat16), TensorProto.BFLOAT16),
}
_BITS = {"int8": 8, "int4": 4}
_BLOCKS = {"int8": 64, "int4": 32}
_BLOCK_SIZES = (16, 32, 64)  # larger ones make results on the CPU depend on the batch


def precision(weights: str, activations: str | None = None, block: int | None = None) -> "Precision":
    """A precision as a user names it; InvalidSettings if there is none such, or activations or blocks do not go with it."""
    checks = (f"weights {weights}", weights in {*_TYPES, *_BITS}), (f"activations {activations}", activations in {None, *_TYPES})
    for what, known in checks:
        if not known:
            message = (
                f"{what} are not known; there are {', '.join([*_TYPES, *_BITS])} for weights, {', '.join(_TYPES)} for activations"
            )
            raise InvalidSettings(message)
    if weights in _TYPES and activations not in {None, weights}:
        raise InvalidSettings(f"weights in {weights} are calculated with in {weights}; only int8 and int4 take other activations")
    if block is not None and weights in _TYPES:
        raise InvalidSettings(f"weights in {weights} have no blocks; only int8 and int4 have")
    if block is not None and block not in _BLOCK_SIZES:
        raise InvalidSettings(f"blocks of {block} are not known; int8 and int4 take {', '.join(map(str, _BLOCK_SIZES))}")
    return Precision(cast(Weights, weights), cast(Activations | None, activations), block)


@dataclass(frozen=True)
class Precision:
    """How a graph stores its matrices and calculates with them.

    Attributes:
        weights: the type of matrices and tables; int8 and int4 share a scale among a block of weights.
        activations: what everything else is calculated in. None: that of the weights, float32 for integers.
        block: weights that share one scale, for integers. None: 64 for int8, 32 for int4.
    """

    weights: Weights = "fp32"
    activations: Activations | None = None
    block: int | None = None

    @property
    def calculated_in(self) -> Activations:
        """The type of activations."""
        if self.activations:
            return self.activations
        return cast(Activations, self.weights) if self.weights in _TYPES else "fp32"

    @property
    def dtype(self) -> Any:
        """NumPy's type for activations."""
        return _TYPES[self.calculated_in][0]

    @property
    def tensor_type(self) -> int:
        """ONNX's number for the type of activations."""
        return _TYPES[self.calculated_in][1]

    @property
    def bits(self) -> int | None:
        """Bits of an integer weight; None for floating point."""
        return _BITS.get(self.weights)

    @property
    def block_size(self) -> int:
        """Weights that share one scale."""
        return self.block or _BLOCKS[self.weights]

    @property
    def bytes_per_weight(self) -> float:
        """What one weight of a matrix takes on disk, its share of a scale included."""
        calculated: int = self.dtype.itemsize
        return self.bits / 8 + calculated / self.block_size if self.bits else calculated

    def cast(self, array: NDArray[Any]) -> NDArray[Any]:
        """An array in the type of activations; UnsupportedModel if a finite value becomes infinite, as large ones do in fp16."""
        if array.dtype == self.dtype:
            return array
        with np.errstate(over="ignore"):
            cast: NDArray[Any] = array.astype(self.dtype)
        if self.calculated_in == "fp16" and not np.isfinite(cast).all() and np.isfinite(array.astype(np.float32)).all():
            raise UnsupportedModel("a weight is larger than fp16 can hold; export with bf16 or fp32")
        return cast
