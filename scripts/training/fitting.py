"""What can be chosen of how a model is fitted? Without torch, so that it is told where there is none."""

from dataclasses import dataclass
from typing import Literal, get_args

Loss = Literal["bce", "mse", "ranknet", "margin-mse", "listnet", "plistmle", "lambda", "infonce"]
LOSSES: tuple[Loss, ...] = get_args(Loss)
SQUARED = frozenset({"mse", "margin-mse"})  # which compare scores themselves, whatever their scale


@dataclass(frozen=True)
class Fitting:
    """What decides the weights that come out, beside the examples.

    Attributes:
        base: folder of the checkpoint to start from.
        loss: one of LOSSES.
        queries: in a batch.
        steps: batches until the learning rate has fallen to zero.
        learning_rate: its highest value.
        warmup: share of the steps in which it rises.
        max_tokens: of a query and a passage together, special tokens included.
        freeze: layers, from the lowest, that stay as they are, with the embeddings; 0 freezes nothing.
        dropout: share of activations dropped.
        bf16: whether the products are calculated in bfloat16; the weights are kept in float32.
        seed: of the classifier's first weights and of dropout.
        evaluate_every: steps between two measurements on held-out queries, at each of which the state is saved.
        patience: measurements without a better one after which training stops; 0 never stops early.
    """

    base: str
    loss: Loss = "bce"
    queries: int = 16
    steps: int = 1000
    learning_rate: float = 5e-5
    warmup: float = 0.1
    max_tokens: int = 128
    freeze: int = 0
    dropout: float = 0.0
    bf16: bool = True
    seed: int = 0
    evaluate_every: int = 250
    patience: int = 0
