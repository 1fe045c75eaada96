"""Which configurations are compared? The settings' own, and those that differ from it in depth or reranker."""

import shlex
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from search.errors import InvalidSettings
from search.factory import build_reranker
from search.query.options import SearchOptions
from search.settings import CausalSettings, ChatSettings, CrossEncoderSettings, NoReranker, Settings, shown_changes, varied

if TYPE_CHECKING:
    from search.evaluation.runs import Configuration
    from search.reranking.contract import Reranker

MAIN = "reranked"  # what the settings' own configuration is called, at the first depth


def configurations(
    settings: Settings, depths: Sequence[int], others: Iterable[str] = (), *, further: Sequence[int] = ()
) -> "list[Configuration]":
    """The settings' configuration at each depth, then the others at each depth, unless they name one of their own.

    Args:
        settings: what all have in common. Without a reranker in it, only the others are compared.
        depths: candidates reranked, at least one.
        others: what differs, such as "reranker.weight=1" or "depth=50 reranker.model=BAAI/bge-reranker-base"; "retrieval=dense
            reranker.kind=none" is another retrieval alone.
        further: depths for the curve of the settings' configuration, where its reranker scores each passage by itself, so that they
            are there for nothing.

    Returns:
        With names of their own. Configurations that differ in depth and weight alone have one reranker.

    Raises:
        InvalidQuery: a depth that no search has.
        InvalidSettings: what differs cannot be understood.
        ModelError: a reranker cannot be loaded.
    """
    from search.evaluation.runs import Configuration

    for depth in depths:
        SearchOptions(depth=depth)
    wanted = [("", {"depth": str(depth)}) for depth in dict.fromkeys([*depths, *further])]
    for words in dict.fromkeys(others):
        changes = changes_of(words)
        if not changes:
            raise InvalidSettings("--with names no setting; write name=value, such as reranker.weight=0.5")
        if shown_changes(changes) != [f"{name}={value}" for name, value in changes.items()]:
            words = " ".join(shown_changes(changes))  # noqa: PLW2901  # as reports may name it
        wanted += [(words, {"depth": str(depth)} | changes) for depth in (dict.fromkeys(depths) if "depth" not in changes else [0])]
    loaded: list[tuple[Settings, Reranker]] = []
    compared: list[Configuration] = []
    for words, changes in wanted:
        chosen = varied(settings, changes)
        retrieval = None if chosen.retrieval == settings.retrieval else chosen.retrieval
        if isinstance(chosen.reranker, NoReranker):
            if words and retrieval is None:
                raise InvalidSettings(f"--with {words!r} reranks nothing, and retrieval alone is measured anyway")
            if words and str(retrieval) not in {one.name for one in compared}:
                compared.append(Configuration(str(retrieval), None, chosen.depth, retrieval=retrieval))
            continue
        at = f"depth {chosen.depth}"
        name = (words if len(depths) == 1 or "depth=" in words else f"{words}, {at}") if words else at if compared else MAIN
        plain = chosen.model_copy(update={"depth": 1, "retrieval": "hybrid", "reranker": _unweighted(chosen)})
        reranker = next((reranker for known, reranker in loaded if known == plain), None) or build_reranker(plain)
        assert reranker is not None  # noqa: S101  # what has none was left out above
        loaded.append((plain, reranker))
        extra = not words and chosen.depth not in depths
        if not (extra and reranker.recipe.compares):
            weight = getattr(chosen.reranker, "weight", None)
            compared.append(Configuration(name, reranker, chosen.depth, weight, retrieval, extra))
    return compared


def changes_of(words: str) -> dict[str, str]:
    """Settings as they are typed, name=value, separated by spaces; InvalidSettings if they cannot be read, or one stands twice."""
    changes: dict[str, str] = {}
    try:
        split = shlex.split(words)
    except ValueError as error:
        raise InvalidSettings(f"--with cannot be read: {error}") from error
    for word in split:
        name, sign, value = word.partition("=")
        if not sign or not name or not value:
            message = f"{word!r} is no setting; write name=value, such as reranker.weight=0.5, several of them separated by spaces"
            raise InvalidSettings(message)
        if name in changes:
            raise InvalidSettings(f"--with sets {name} twice")
        changes[name] = value
    return changes


def _unweighted(settings: Settings) -> CrossEncoderSettings | CausalSettings | ChatSettings | NoReranker:
    reranker = settings.reranker
    return reranker if isinstance(reranker, NoReranker) else reranker.model_copy(update={"weight": None})
