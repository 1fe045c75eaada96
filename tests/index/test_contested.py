"""Hundreds of contested claims, with pauses at every step: nobody writes beside another, and who lost overwrites nothing."""

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import numpy as np
import pytest
from qdrant_client import QdrantClient
from qdrant_client.http.exceptions import ResponseHandlingException
from simulated import SimulatedTime
from standin import QdrantStandIn

from search.errors import IndexBusy, IndexFailure
from search.index.contract import Attempt, CollectionSpec, Point, once
from search.index.server import claims
from search.index.server.connection import connect, in_memory
from search.index.server.index import QdrantIndex
from search.index.server.lease import Lease, Metadata, Noted
from search.index.server.reserved import RESERVED

pytestmark = pytest.mark.usefixtures("numbers_from_one")

SPEC = CollectionSpec(2, "embedder@1")
CLIENTS, CLAIMS = 3, 200
IDS = [f"8c0d6a8e-5a39-5f0c-9a5e-{number:012}" for number in range(3)]
PAUSES_S = [0.0, 0.02, 0.5, 13.0, 15.0, 40.0]  # the last ones are longer than a claim lives
OFTEN = [73, 15, 4, 2, 3, 3]
LOST = 0.03  # of all requests: half of them are carried out, and the answer is lost


class Drill:
    """One run: who claims what when, and what the server holds after every write."""

    def __init__(self, seed: int, client: QdrantClient, name: str) -> None:
        self.time = SimulatedTime()
        self.chance = random.Random(seed)  # noqa: S311  # no secret
        self.client = client
        self.name = name
        self.claims = self.won = self.late = self.spared = 0
        self.wrong: list[str] = []  # what must not be; a request that raises would only end a claim
        self.holder = 0  # the number of the claim that the collection has
        self.written: dict[str, tuple[int, Any]] = {}  # the claim and the text that each point has

    def look(self, number: int | None, ids: list[str]) -> None:
        """After a batch under a claim, or a write of the claim itself: what later claims wrote is as it was."""
        records = self.client.retrieve(self.name, IDS)
        there = {str(one.id): ((one.payload or {})["claim"], (one.payload or {})["text"]) for one in records}
        if number is not None:
            self.late += number < self.holder
            for one, (claim, text) in self.written.items():
                if claim > number:
                    self.spared += one in ids
                    if there.get(one) != (claim, text):
                        self.wrong.append(f"claim {number} changed what {claim} wrote")
        self.written = there
        note = self.client.retrieve(self.name, [RESERVED])
        held = note[0].payload["writer"]["number"] if note and note[0].payload else 0
        if held < self.holder:
            self.wrong.append(f"claim {held} came after {self.holder}")
        self.holder = held

    def checked(self, number: int) -> None:
        """A writer of this claim thinks that it may write."""
        if number != self.holder:
            self.wrong.append(f"claim {number} goes on though {self.holder} has begun")

    def act(self, index: QdrantIndex) -> None:
        while self.claims < CLAIMS or (not self.spared and self.claims < 10 * CLAIMS):  # until a batch came too late, at least
            self.claims += 1
            with suppress(IndexBusy, IndexFailure), index.claimed():
                self.won += 1
                for _ in range(self.chance.randint(1, 5)):
                    assert index._claim.lease
                    number = index._claim.lease.number
                    if self.chance.random() < 0.3:
                        index.delete(ids=self.chance.sample(IDS, 2))
                    else:
                        texts = {one: f"{number}, {self.time.monotonic()}" for one in self.chance.sample(IDS, 2)}
                        index.upsert([Point(one, np.ones(2, np.float32), {"text": text}) for one, text in texts.items()])
                    self.time.sleep(self.chance.random() * 3)
            self.time.sleep(self.chance.random() * 20)


class Paused:
    """A client of a process that stands still before and behind requests, with all its threads."""

    def __init__(self, drill: Drill) -> None:
        self._drill = drill
        self._until = 0.0

    def _pause(self) -> None:
        drill = self._drill
        self._until = max(self._until, drill.time.monotonic() + drill.chance.choices(PAUSES_S, OFTEN)[0])
        while drill.time.monotonic() < self._until:
            drill.time.sleep(self._until - drill.time.monotonic())

    def __getattr__(self, name: str) -> Callable[..., Any]:
        drill, ask = self._drill, getattr(self._drill.client, name)

        def asked(*values: Any, **options: Any) -> Any:
            self._pause()
            lost = drill.chance.random()
            if lost < LOST / 2:
                raise ResponseHandlingException(httpx.ConnectTimeout("planted"))
            answer = ask(*values, **options)
            if name == "upsert":
                drill.look((values[1][0].payload or {}).get("claim"), [one.id for one in values[1]])
            elif name == "delete":
                *_, later = values[1].filter.must_not
                drill.look(int(later.range.gt), values[1].filter.must[0].has_id)
            self._pause()
            if lost < LOST:
                raise ResponseHandlingException(httpx.ReadTimeout("planted"))
            return answer

        return asked


@pytest.mark.parametrize(("engine", "seed"), [("memory", 0), ("memory", 1), ("standin", 2)])
def test_nobody_writes_beside_another(engine: str, seed: int, standin: QdrantStandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    client = in_memory() if engine == "memory" else connect(standin.url)
    drill = Drill(seed, client, "documents")

    class Watched(Lease):
        def __init__(self, what: str, noted: Noted, earlier: Metadata, attempt: Attempt = once) -> None:
            super().__init__(what, noted, earlier, attempt, drill.time)
            self._renewing = drill.time.thread(self._keep)
            self._one_at_a_time: Any = drill.time.lock()

        def check(self) -> None:
            super().check()
            drill.checked(self.number)

    monkeypatch.setattr(claims, "Lease", Watched)
    first = QdrantIndex(client, "documents", ":memory:", owned=False)
    first.ensure(SPEC, create=True)
    indexes = [QdrantIndex(Paused(drill), "documents", ":memory:", owned=False) for _ in range(CLIENTS)]  # type: ignore[arg-type]
    for index in indexes:
        index._open = first._open
    drill.time.run([lambda one=index: drill.act(one) for index in indexes])  # type: ignore[misc]
    assert not drill.wrong
    assert drill.claims >= CLAIMS
    assert drill.won >= CLAIMS // 4
    assert drill.claims - drill.won >= CLAIMS // 10
    assert drill.late  # batches came too late, and …
    assert drill.spared  # … found what they would have overwritten
    client.close()
