"""What should someone know who is handed the model? Its data, its figures and the command that made it, as Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search.evaluation.calibration import Reliability


@dataclass(frozen=True)
class Source:
    """A data set in the examples.

    Attributes:
        split: the name of its judgements.
        examples: how many of the examples are of it.
        licence: as stated on the command line.
    """

    name: str
    split: str
    examples: int
    licence: str


@dataclass(frozen=True)
class Figures:
    """nDCG@10 by data set, on held-out queries that chose nothing."""

    retrieval: Mapping[str, float]
    alone: Mapping[str, float]
    mixed: Mapping[str, float]


def card(
    *,
    base: str,
    sources: Sequence[Source],
    commands: Sequence[str],
    weights: str,
    checkpoint_sha256: str,
    recipe: Mapping[str, Any],
    depth: int,
    figures: Figures,
    calibration: Reliability | None,
    made: Mapping[str, str | None],
    log: Sequence[Mapping[str, Any]],
) -> str:
    """The model card.

    Args:
        base: the checkpoint training began with, and its licence.
        sources: the data.
        commands: what was typed, for the base first.
        weights: which state of the training they are.
        checkpoint_sha256: of model.safetensors.
        recipe: what the model folder's recipe.json says.
        depth: candidates reranked in the figures.
        figures: of the exported model.
        calibration: of its probabilities, on queries that were not used to fit them; None if it gives none.
        made: with which embedder and teacher the examples were made, and with which versions of packages.
        log: the measurements on held-out queries in the course of training.
    """
    data = [(s.name, s.split, f"{s.examples:,}", s.licence) for s in sources]
    names = list(figures.retrieval)
    quality = [(name, *(f"{run[name]:.4f}" for run in (figures.retrieval, figures.alone, figures.mixed))) for name in names]
    return _CARD.format(
        base=base,
        data=_table("data set | judgements | examples | licence", data),
        depth=depth,
        window=recipe["max_tokens"],
        weight=f"{recipe.get('weight', 1.0):g}",
        quality=_table("data set | retrieval | alone | mix", quality),
        reliability=_reliability(calibration),
        course=_table(
            "step | mix | alone | share of the reranker",
            [(f"{e['step']:,}", f"{e['held_out_ndcg']:.4f}", f"{e['alone']:.4f}", f"{e['weight']:g}") for e in log],
        ),
        commands="\n\n".join(f"{FENCE}\n{command}\n{FENCE}" for command in commands),
        weights=weights,
        sha256=checkpoint_sha256,
        made=", ".join(f"{name} {value}" for name, value in made.items() if value),
    )


def _reliability(measured: Reliability | None) -> str:
    if measured is None:
        return "Its scores have no map to probabilities."
    bins = [(f"{b.low:.1f} to {b.high:.1f}", f"{b.pairs:,}", f"{b.probability:.3f}", f"{b.relevant:.3f}") for b in measured.bins]
    told = (
        f"Probabilities, on these queries' {measured.pairs:,} pairs, of which {measured.base_rate:.1%} are relevant: "
        f"expected calibration error {measured.error:.3f}, Brier skill {measured.skill:.2f}."
    )
    return f"{told}\n\n{_table('probability | pairs | mean | relevant', bins)}"


def _table(head: str, rows: Sequence[Sequence[str]]) -> str:
    columns = head.count("|") + 1
    return "\n".join([f"| {head} |", f"|{'---|' * columns}", *(f"| {' | '.join(row)} |" for row in rows)])


FENCE = "```"  # around each command
_CARD = """# Reranker

A cross-encoder of one logit, `[CLS] query [SEP] passage [SEP]`, trained from {base}.

## Data

{data}

An example is a query, a relevant passage and mined negatives. Of every data set some queries are held out, by document; no relevant
passage of theirs, nor a copy of one, is a relevant passage in an example.

## Figures

nDCG@10 on held-out queries that chose nothing: retrieval alone, the reranker alone on its best {depth}, the recipe's mix, in which
the reranker's share is {weight}. The exported model was measured; it reads {window} tokens.

{quality}

{reliability}

In the course of training, on other held-out queries:

{course}

## How it was made

{commands}

The checkpoint is {weights}: sha256 {sha256}. Made with {made}.
"""
