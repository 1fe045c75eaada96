"""What the inputs and outputs of a language model's graph are called: `search export` writes them, and `decoder.py` reads them."""

from collections.abc import Iterator

TOKENS = "input_ids"  # int64 (batch, length), padded on the right with anything
LENGTHS = "lengths"  # int32 (batch,), real tokens of each row
LENGTH = "length"  # int32 (), the padded length
PLACES = "places"  # int64 (n, 2), row and token of each wanted score
TARGETS = "targets"  # int64 (n,), tokens whose log-probability is wanted

SCORES = "scores"  # float32 (n, rows of the head)
LOG_PROBABILITIES = "log_probabilities"  # float32 (n,)

PAST, PRESENT = "past", "present"  # begin the names of what was read before, and of what is read now


def memory(which: str, layer: int) -> Iterator[str]:
    """The names of a layer's keys and values, of PAST or PRESENT."""
    return (f"{which}_{part}.{layer}" for part in ("key", "value"))
