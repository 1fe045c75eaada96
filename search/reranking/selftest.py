"""Is a model prompted as it was trained? It scores what its recipe records before it is served."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from search.errors import OutOfMemory, SearchError, SelfTestFailed
from search.reranking.contract import Scoring
from search.reranking.recipe import ITSELF, Golden, Recipe

Score = Callable[[str, Sequence[str]], Scoring]

# By how much a score may differ from the recorded one. Sixteen bits: the rounding of published scores included.
_TOLERANCES = {"fp32": 0.25, "fp16": 0.25, "bf16": 0.25, "int8": 0.5, "int4": 1.5}
_ALONE = {"fp32": 1e-3, "fp16": 0.1, "bf16": 0.25}  # … and from the score it gets without company, by what it is calculated in
_PROBABILITY = 0.01
_QUERY = "When do cats sleep?"
_PROBES = ("Cats sleep for most of the day, and hunt at dawn.", "Cats sleep for most of the day and hunt at dawn and dusk.", "4")


def self_test(name: str, recipe: Recipe, score: Score, *, in_batches: Score | None = None) -> str:
    """Score the golden pairs of a model's recipe and compare; `in_batches` pads all texts to one length, where `score` does not.

    Returns:
        Who vouches for the scores; "" if the recipe has none but the model's own.

    Raises:
        SelfTestFailed: with what differs, and what may be the cause.
        OutOfMemory: the device's memory does not hold even this.
    """
    with _translated(name):
        _check_company(name, recipe, in_batches or score)
        for golden in recipe.golden:
            _check_golden(name, recipe, golden, score)
    return ", ".join(sorted({golden.source for golden in recipe.golden} - {ITSELF}))


def smoke_test(name: str, score: Score) -> None:
    """For models that compare texts, none of which has a score of its own: they must give some. For errors see `self_test`."""
    with _translated(name):
        if not np.isfinite(score(_QUERY, _PROBES).scores).all():
            raise SelfTestFailed(f"the model {name} gives no order")


@contextmanager
def _translated(name: str) -> Iterator[None]:
    try:
        yield
    except (SelfTestFailed, OutOfMemory):
        raise
    except SearchError as error:
        raise SelfTestFailed(f"the model {name} failed its self-test: {error}") from error


def _check_company(name: str, recipe: Recipe, score: Score) -> None:
    """A model of our export gives a text the same score alone and beside others; others' quantization may depend on the batch."""
    together = score(_QUERY, _PROBES).scores
    alone = [float(score(_QUERY, [text]).scores[0]) for text in _PROBES]
    difference = max(abs(float(a) - b) for a, b in zip(together, alone, strict=True))
    if recipe.weights and not difference <= _ALONE[recipe.activations or "fp32"] * max(1.0, *map(abs, alone)):
        message = f"the model {name} gives a text other scores in company than alone, by {difference:.3g}: its padding is wrong"
        raise SelfTestFailed(message)


def _check_golden(name: str, recipe: Recipe, golden: Golden, score: Score) -> None:
    got = float(score(golden.query, [golden.document, *_PROBES]).scores[0])
    tolerance = golden.tolerance or _TOLERANCES[recipe.weights or "fp32"]
    if not math.isfinite(got) or not abs(got - golden.score) <= tolerance:
        raise SelfTestFailed(
            f"the model {name} gives {got:.3f} to a pair whose score is {golden.score:.3f} by {golden.source} ({golden.query!r}): "
            "it has another prompt, another token or other weights; export it again with the recipe it was made for"
        )
    chance = recipe.probability(golden.score)
    published = None if recipe.calibrated_on else golden.probability  # a map of the user's own is another one than was published
    if published is not None and (chance is None or abs(chance - published) > _PROBABILITY):
        raise SelfTestFailed(
            f"the recipe of {name} maps {golden.score:.3f} to the probability {chance}, {golden.source} to {published}: "
            "its scale is wrong"
        )
