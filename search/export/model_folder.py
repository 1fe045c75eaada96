"""`search export`: from a checkpoint to a folder that a reranker loads. What is unfinished never bears the final name."""

import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from search.errors import ExportFailed
from search.export.bert import build_bert
from search.export.checkpoint import Checkpoint, fetch
from search.export.decoder import build_decoder
from search.export.graph import GraphBuilder
from search.export.plan import Plan, make_plan
from search.export.precision import Precision
from search.export.shapes import BertShape
from search.models.files import read_json
from search.models.tokenizer_files import spelt

_ROOM_TO_SPARE = 64_000_000  # bytes for graph, tokenizer and padding


@dataclass(frozen=True)
class ExportReport:
    """What was exported.

    Attributes:
        recipe: its name, "none" for an encoder without one.
        devices: where it can run in this precision.
        golden: pairs that the model will have to score as recorded, before it is served.
    """

    folder: Path
    architecture: str
    weights: str
    activations: str
    devices: tuple[str, ...]
    recipe: str
    max_tokens: int
    golden: int
    megabytes: float
    seconds: float
    note: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as JSON takes it."""
        return {**vars(self), "folder": str(self.folder)}


def export(
    model: str,
    out: Path,
    *,
    precision: Precision,
    recipe: str | None = None,
    max_tokens: int | None = None,
    golden: Path | None = None,
    revision: str | None = None,
    cache: Path,
    on_progress: Callable[[int, int], None] = lambda _read, _total: None,
) -> ExportReport:
    """Write a model folder.

    Args:
        model: a folder with a checkpoint, or its name on the model hub.
        out: the folder to write; it must not exist.
        precision: in which numbers weights are stored and calculated with.
        recipe: a recipe's name or file; None takes the one published for the model.
        max_tokens: the longest prompt; None takes the recipe's, or the model's.
        golden: JSON lines of query, document, score and source that the model must agree with, instead of the recipe's.
        revision: of the model on the hub.
        cache: the folder of downloads.
        on_progress: called with the bytes of the checkpoint read, and of all.

    Raises:
        InvalidSettings: a revision of a folder.
        UnsupportedModel: something in the checkpoint or recipe is not implemented; it is named.
        ModelNotFound: no such folder.
        ModelUnavailable: the model is not on this machine and could not be downloaded.
        ModelIncomplete: a file, tensor or token is missing.
        ModelCorrupt: a file is damaged.
        ExportFailed: the folder exists, the disk is too small, or another export writes the same folder.
    """
    started = time.perf_counter()
    with _writing(out):
        _refuse_existing(out)
    checkpoint = Checkpoint(fetch(model, revision, cache), on_progress)
    plan = make_plan(checkpoint, model, recipe, golden, max_tokens, precision)
    with _writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        _check_disk(checkpoint, plan, precision, out.parent)
        size = _write_whole(checkpoint, plan, precision, out)
    return ExportReport(
        folder=out,
        architecture=plan.architecture,
        weights=precision.weights,
        activations=precision.calculated_in,
        devices=plan.devices(precision),
        recipe=plan.name,
        max_tokens=plan.max_tokens,
        golden=len(plan.recipe.golden),
        megabytes=size / 1e6,
        seconds=time.perf_counter() - started,
        note=plan.recipe.note,
    )


def _write_whole(checkpoint: Checkpoint, plan: Plan, precision: Precision, out: Path) -> int:
    """Write the folder under a lock, so that it takes its name when it is whole; how many bytes it has."""
    unfinished = out.with_name(f"{out.name}.unfinished")
    lock = FileLock(out.with_name(f".{out.name}.lock"))
    with lock.acquire(timeout=0):
        _refuse_existing(out)  # another may have finished it meanwhile
        try:
            shutil.rmtree(unfinished, ignore_errors=True)  # of an export that was killed
            unfinished.mkdir()
            _write(checkpoint, plan, precision, unfinished)
            size = sum(_synced(file) for file in unfinished.iterdir())
            unfinished.rename(out)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        finally:
            Path(lock.lock_file).unlink(missing_ok=True)
    return size


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except Timeout as error:
        raise ExportFailed(f"another process is exporting to {out}") from error
    except OSError as error:
        raise ExportFailed(f"{out} cannot be written ({error.strerror or error}); name another folder") from error


def _refuse_existing(out: Path) -> None:
    if out.exists() or out.is_symlink():
        raise ExportFailed(f"{out} exists already; name another folder, or remove it first")


def _check_disk(checkpoint: Checkpoint, plan: Plan, precision: Precision, parent: Path) -> None:
    """An upper bound: matrices in their precision, tables never below a byte a weight, and twice where both need them."""
    needed = _ROOM_TO_SPARE + plan.max_tokens * 1024
    for name in plan.shape.tensors():
        size = math.prod(checkpoint[name].shape)
        table = "embed" in name or name == "lm_head.weight"
        needed += int(size * (max(precision.bytes_per_weight, 1) if table else precision.bytes_per_weight))
        needed += int(size * precision.bytes_per_weight) if table and plan.rows == "all" else 0
    free = shutil.disk_usage(parent).free
    if needed > free:
        sizes = f"{needed / 1e9:,.1f} GB, and {parent} has {free / 1e9:,.1f} GB left"
        raise ExportFailed(f"the export needs about {sizes}; name a folder on another disk")


def _synced(file: Path) -> int:
    """Make sure that a file is on the disk, and give its size."""
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
    return file.stat().st_size


def _write(checkpoint: Checkpoint, plan: Plan, precision: Precision, folder: Path) -> None:
    path = folder / "model.onnx"
    with (folder / "model.onnx.data").open("wb") as weights:
        graph = GraphBuilder(precision, weights)
        if isinstance(plan.shape, BertShape):
            build_bert(checkpoint, plan.shape, "classifier", graph, path)
        else:
            options: dict[str, Any] = {"max_tokens": plan.max_tokens, "path": path, "continues": plan.continues}
            build_decoder(checkpoint, plan.shape, checkpoint.config, plan.rows, graph, **options)
    config = read_json(checkpoint.path / "tokenizer_config.json", default={})
    tokens = spelt({key: value for key, value in config.items() if key.endswith("_token")})
    documents = {
        "config.json": checkpoint.config,
        "tokenizer.json": plan.tokenizer,
        "tokenizer_config.json": {**tokens, **plan.special, "model_max_length": plan.max_tokens, "max_length": plan.max_tokens},
        "special_tokens_map.json": plan.special,
        "recipe.json": plan.recipe.to_dict(),
    }
    for name, content in documents.items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
