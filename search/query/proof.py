"""Was a collection that another program filled made with this embedder? Proved by its own texts, not believed."""

from itertools import islice

import numpy as np

from search.embedding.dense import Embedder, known_embedders
from search.errors import IndexMismatch
from search.index.contract import VectorIndex
from search.index.points import passages
from search.settings import section_of

_PROVED = 8  # passages that are embedded again
_LOOKED_AT = 1_000  # points, for those with a text and a vector
_LEAST_COSINE = 0.99  # the median of them


def prove(index: VectorIndex, embedder: Embedder) -> None:
    """Embed some texts again of a collection that another program filled, opened, and compare the vectors.

    Raises:
        IndexMismatch: this embedder did not fill it (the message names known ones of that dimension), or nothing can be compared.
    """
    looked_at = islice(passages(index.scroll(vectors=True)), _LOOKED_AT)
    records = list(islice((record for record in looked_at if record.vector is not None), _PROVED))
    problem = ""
    if index.spec.dimension != embedder.dimension:
        problem = f"its vectors have {index.spec.dimension} dimensions, and those of {embedder.name} have {embedder.dimension}"
    elif not records:
        raise IndexMismatch(
            f"nothing proves by which embedder collection {index.name!r} at {index.location} was filled by another program: of its "
            f"first {_LOOKED_AT} points none has both a text and a vector ({index.spec.layout}); say where they lie "
            f"(`text`, `vector` under {section_of(index.name)} in search.toml)"
        )
    else:
        texts = [str(record.payload["embedded"]) for record in records]
        titled = [f"{record.payload['title']} {text}".strip() for record, text in zip(records, texts, strict=True)]
        cosines = [
            max(_cosine(record.vector, made) for made in alternatives)
            for record, *alternatives in zip(records, embedder.embed_passages(texts), embedder.embed_passages(titled), strict=True)
            if record.vector is not None
        ]
        if np.median(cosines) < _LEAST_COSINE:
            problem = (
                f"{embedder.name} makes other vectors of its texts (median cosine {np.median(cosines):.2f}; {index.spec.layout}: "
                "if that is not what was embedded, say `text` there; if it was with another prompt, say `passage_prompt` there)"
            )
    if problem:
        known = ", ".join(known_embedders(index.spec.dimension)) or "none is known by name"
        raise IndexMismatch(
            f"collection {index.name!r} at {index.location} was filled by another program, and with another embedder: {problem}. "
            f"Name the one that filled it (SEARCH_EMBEDDER__MODEL, or `embedder` under {section_of(index.name)} in search.toml); "
            f"of {index.spec.dimension} dimensions there are: {known}"
        )


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / max(float(np.linalg.norm(one) * np.linalg.norm(other)), 1e-12))
