"""Which texts run together? As many of like length as fit a budget of tokens, padding counted."""

from collections.abc import Sequence

_LEAST_FILLED = 0.75  # of a batch's length, how much its shortest text must fill; more batches cost less than more padding


def plan_batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Group texts by length, longest first, so that rows times the longest row stays within the budget, and padding within bounds.

    Args:
        lengths: tokens of each text.
        budget: padded tokens a batch may have; a longer text gets a batch of its own.

    Returns:
        Positions into `lengths`, each exactly once.
    """
    batches: list[list[int]] = []
    room = 0
    for position in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if room == 0 or lengths[position] < _LEAST_FILLED * lengths[batches[-1][0]]:
            batches.append([])
            room = max(1, budget // max(1, lengths[position]))
        batches[-1].append(position)
        room -= 1
    return batches


def bucket(length: int) -> int:
    """The length that texts of about this length are padded to on a GPU: four to each doubling, so that few shapes occur.

    Every new shape costs memory and planning there; the padding is an eighth on average.
    """
    step = max(16, 1 << max(0, length.bit_length() - 3))
    return -(-length // step) * step
