"""How much do words and vectors count in retrieval order? As the settings say, and less where a model cannot read the query."""

from dataclasses import dataclass
from typing import Self

from search.documents import Fusion, Retrieval
from search.index.contract import LEXICAL_SHARE
from search.settings import LexicalSettings

_EQUAL = 0.5  # share with rrf and dbsf, as Qdrant fuses, and of rare words: see docs/decisions.md, 47
_UNREADABLE = 1 / 3  # share of a query's tokens that a model cannot read, from which on it has no vote


@dataclass(frozen=True)
class Mix:
    """How the scores of words and vectors become one.

    Attributes:
        share: of the words, 0 to 1; None: .3 with zscore, .5 with rrf and dbsf; more where few passages have a word of the query,
            or the embedder cannot read it.
        fusion: of what.
        typos: whether words spelt like it are looked for where no passage has a word of the query.
    """

    share: float | None = None
    fusion: Fusion = "zscore"
    typos: bool = True

    @classmethod
    def of(cls, settings: LexicalSettings) -> Self:
        """As the settings have it."""
        return cls(settings.share, settings.fusion, settings.typos)

    def share_for(self, unread: float) -> float:
        """The words' share in a query of whose tokens the embedder cannot read so many, 0 to 1."""
        if self.share is not None:
            return self.share
        return 1 - (1 - (LEXICAL_SHARE if self.fusion == "zscore" else _EQUAL)) * vote(unread)

    def rare_share_for(self, share: float) -> float | None:
        """The words' share where hardly any passage has one of them; None where the settings name one for all queries."""
        return None if self.share is not None else max(share, _EQUAL)

    def described(self, retrieval: Retrieval, share: float) -> str:
        """What retrieval order is by, in words."""
        if retrieval != "hybrid":
            return "cosine similarity" if retrieval == "dense" else "score of the words"
        name = "z" if self.fusion == "zscore" else self.fusion
        return f"{share:.2g} {name}(words) + {1 - share:.2g} {name}(cosine)"


def vote(unread: float) -> float:
    """How much a model counts that cannot read this share of a query's tokens: 1 where it reads them all, 0 from a third on."""
    return 1 - min(1.0, unread / _UNREADABLE)
