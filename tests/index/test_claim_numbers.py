"""Numbers of claims rise, also over a note that was lost with its shard, or that somebody removed."""

import numpy as np
from qdrant_client import QdrantClient, models

from search.index.contract import CollectionSpec, Point
from search.index.server.index import QdrantIndex
from search.index.server.reserved import RESERVED

PLACE = "3f0a3c5e-1111-4f2b-9a50-000000000001"
VECTOR = np.array([1, 0, 0, 0], np.float32)


def test_whoever_claims_without_a_note_may_write_what_earlier_ones_wrote(client: QdrantClient) -> None:
    index = QdrantIndex(client, "birds", "http://127.0.0.1")
    index.ensure(CollectionSpec(4, "model@1"), create=True)
    for _ in range(3):
        with index.claimed():
            index.upsert([Point(PLACE, VECTOR, {"document_id": "a", "text": "Old."})])
    client.delete("birds.v1", models.PointIdsList(points=[RESERVED]), wait=True)
    with index.claimed():
        index.upsert([Point(PLACE, VECTOR, {"document_id": "a", "text": "New."})])
    assert [record.payload["text"] for record in index.scroll()] == ["New."]
    client.delete("birds.v1", models.PointIdsList(points=[RESERVED]), wait=True)
    with index.claimed():
        index.delete(ids=[PLACE])
    assert index.count() == 0
    index.close()
