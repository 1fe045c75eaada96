"""Steps come out in order, a bounded number at a time, and what goes wrong goes wrong where it was asked for."""

import threading
import time
from collections.abc import Callable

import pytest

from search.ingestion.relay import Relay


def test_halves_of_different_steps_overlap_and_come_out_in_order() -> None:
    """The second half of the first step waits for the first half of the second one."""
    begun = threading.Event()
    events: list[str] = []

    def first(number: int) -> Callable[[], int]:
        def half() -> int:
            events.append(f"first {number}")
            if number == 2:
                begun.set()
            return number

        return half

    def second(number: int) -> int:
        assert begun.wait(5)
        events.append(f"second {number}")
        return number * 10

    with Relay[int, int](4) as relay:
        given = [one for number in (1, 2, 3) for one in relay.do(first(number), second)]
        given += relay.finish()
    assert given == [10, 20, 30]
    assert [event for event in events if event.startswith("second")] == ["second 1", "second 2", "second 3"]
    assert events.index("first 2") < events.index("second 1")


def test_no_more_steps_than_allowed_are_under_way() -> None:
    under_way: list[int] = []
    most: list[int] = []

    def begin() -> None:
        time.sleep(0.001)

    def end(_: None) -> None:
        time.sleep(0.003)
        under_way.pop()

    with Relay[None, None](3) as relay:
        for number in range(20):
            under_way.append(number)
            relay.do(begin, end)
            most.append(len(under_way))
        list(relay.finish())
    assert max(most) == 3


@pytest.mark.parametrize("half", ["first", "second"])
def test_what_goes_wrong_is_raised_and_what_has_not_begun_is_forgotten(half: str) -> None:
    done: list[int] = []

    def first(number: int) -> int:
        if half == "first" and number == 1:
            raise OSError(number)
        return number

    def second(number: int) -> None:
        if half == "second" and number == 1:
            raise OSError(number)
        done.append(number)

    with pytest.raises(OSError, match="1"), Relay[int, None](2) as relay:  # noqa: PT012  # where it is raised depends on the threads
        for number in range(50):
            relay.do(lambda number=number: first(number), second)  # type: ignore[misc]
        list(relay.finish())
    assert set(done) <= {0}  # what comes behind a failure may build on it
