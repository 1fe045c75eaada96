"""What does the model learn from an example? The losses of Sentence Transformers, and the columns that each of them reads."""

from collections.abc import Sequence
from typing import Any

from datasets import Dataset as Table
from sentence_transformers.cross_encoder import CrossEncoder, losses
from torch import nn

from training.fitting import Loss
from training.mixture import Example, Texts

_FLAT = {"bce", "mse"}
_SHARPNESS = 10.0  # ListNet compares with the softmax of the labels; of 1 and 0s that would be nearly flat


def columns(examples: Sequence[Example], texts: Texts, loss: Loss) -> Table:
    """The columns that the loss reads; one row an example, or one a pair where the loss looks at pairs."""
    rows: list[dict[str, Any]] = []
    for example in examples:
        queries, passages = texts[example.dataset]
        query, documents, labels = queries[example.query], [passages[d] for d in example.documents], example.labels
        if loss == "plistmle":  # it takes the order for the truth; equal labels stay as they were drawn
            order = sorted(range(len(labels)), key=lambda place: -labels[place])
            documents, labels = [documents[place] for place in order], tuple(labels[place] for place in order)
        if loss in _FLAT:
            rows += [{"query": query, "document": d, "label": label} for d, label in zip(documents, labels, strict=True)]
        elif loss == "margin-mse":
            rest = zip(documents[1:], labels[1:], strict=True)
            rows += [{"query": query, "positive": documents[0], "negative": d, "label": labels[0] - label} for d, label in rest]
        elif loss == "infonce":
            rows.append({"query": query, "positive": documents[0]} | {f"negative_{n}": d for n, d in enumerate(documents[1:], 1)})
        else:
            sharpness = _SHARPNESS if loss == "listnet" else 1.0
            rows.append({"query": query, "documents": documents, "labels": [label * sharpness for label in labels]})
    return Table.from_list(rows)


def loss_function(loss: Loss, model: CrossEncoder, queries: int) -> nn.Module:
    """The loss itself.

    Args:
        loss: which.
        model: what it trains.
        queries: in a batch; the relevant passages of some of the others are negatives, too, where the loss takes such.
    """
    match loss:
        case "bce":
            return losses.BinaryCrossEntropyLoss(model)
        case "mse":
            return losses.MSELoss(model)
        case "ranknet":
            return losses.RankNetLoss(model, mini_batch_size=-1)
        case "margin-mse":
            return losses.MarginMSELoss(model)
        case "listnet":
            return losses.ListNetLoss(model, mini_batch_size=-1)
        case "plistmle":
            return losses.PListMLELoss(model, mini_batch_size=-1)
        case "lambda":
            return losses.LambdaLoss(model, mini_batch_size=-1)
        case "infonce":
            return losses.MultipleNegativesRankingLoss(
                model, num_negatives=min(4, queries - 1), scale=1, activation_fn=nn.Identity()
            )
