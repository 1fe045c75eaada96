"""The command doctor: what is wrong with this environment, and how is it mended?"""

import importlib.metadata
import importlib.util
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from search.cli.options import AsJson, Collection, DataDir, differing, load_settings, print_json
from search.context.counting import counter
from search.documents import counted
from search.errors import CollectionNotFound, SearchError
from search.factory import build_collections, build_embedder, build_reranker, build_words, needs_extra
from search.models import manifest, verify
from search.network.addresses import without_secrets
from search.settings import (
    CausalSettings,
    ChatSettings,
    ContextSettings,
    EdgeSettings,
    ServiceSettings,
    Settings,
    check_tenancy,
    declared_indexes,
    files_read,
    unknown_names,
)
from search.system.posix import check_posix
from search.system.telemetry import telemetry_off
from search.system.terminal import show

if TYPE_CHECKING:
    from search.index.contract import CollectionSpec, VectorIndex
    from search.reranking.contract import Reranker

_EMPTY = "nothing ingested yet"
_PACKAGES = ("two-stage-search", "fastembed", "fastembed-gpu", "onnxruntime", "onnxruntime-gpu", "qdrant-client", "qdrant-edge-py")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    ok: bool
    detail: str


def doctor(data_dir: DataDir = None, collection: Collection = None, *, as_json: AsJson = False) -> None:
    """Check the environment, the models and the collection, and say how to mend what is wrong."""
    findings = list(examine(load_settings(data_dir, collection)))
    healthy = all(finding.ok for finding in findings)
    if as_json:
        print_json({"ok": healthy, "findings": [{"name": f.name, "ok": f.ok, "detail": f.detail} for f in findings]})
    else:
        for finding in findings:
            show(f"{'ok     ' if finding.ok else 'PROBLEM'}  {finding.name:15} {finding.detail}")
    if not healthy:
        raise typer.Exit(1)


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at packages, runtimes, models, data folder and collection, one after another. Nothing is changed."""
    yield Finding("python", ok=True, detail=f"{platform.python_version()} on {platform.platform()}")
    yield Finding("packages", ok=True, detail=", ".join(f"{name} {version}" for name, version in _versions()))
    yield Finding("settings files", ok=True, detail=_files(settings))
    if names := unknown_names():
        yield Finding("settings", ok=False, detail="; ".join(names))
    yield _finding("onnx runtime", _runtimes)
    yield _finding("bundled models", _bundled)
    if isinstance(settings.index, EdgeSettings):
        yield _finding("data folder", lambda: _data_dir(settings.data_dir))
    specs: list[CollectionSpec] = []  # of what the embedder makes, which is loaded once
    yield _finding("embedder", lambda: _embedder(settings, specs))
    yield _finding("words", lambda: _words(settings))
    yield _finding("reranker", lambda: _reranker(settings))
    yield _finding("context", lambda: _context(settings.context))
    yield _finding("service", lambda: _service(settings.service))
    if settings.tenant is not None:
        yield _finding("tenant", lambda: _tenant(settings.tenant_field, settings.tenant))
    if specs:
        yield from _collection(settings, specs[0])


def _finding(name: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(name, ok=True, detail=look())
    except SearchError as error:
        return Finding(name, ok=False, detail=str(error))


def _versions() -> Iterator[tuple[str, str]]:
    for name in _PACKAGES:
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue


def _files(settings: Settings) -> str:
    files = [
        f"{file.path.absolute()} ({f'may not send texts elsewhere or let others in: {file.reason}' if file.reason else 'trusted'})"
        for file in files_read(settings)
    ]
    return ", ".join(files) or "none"


def _runtimes() -> str:
    with needs_extra():
        from search.inference.runtime import available_providers, check_runtimes

    check_runtimes()
    return f"{', '.join(available_providers())}, telemetry {'off' if telemetry_off() else 'on (ORT_DISABLE_TELEMETRY)'}"


def _bundled() -> str:
    for name, entry in manifest().items():
        verify(Path(__file__).parents[1] / "models" / name, entry["files"])
    return f"{', '.join(manifest())}: every sha256 as released"


def _data_dir(folder: Path) -> str:
    from search.index.edge.folder import read_owner

    existing = next(parent for parent in (folder, *folder.parents) if os.path.lexists(parent))
    if not os.path.isdir(existing):  # noqa: PTH112 -- which raises nothing where nobody may look
        raise SearchError(f"{existing} is no folder; choose another data_dir")
    if not os.access(existing, os.W_OK):
        raise SearchError(f"{existing} cannot be written; choose another data_dir")
    pid = read_owner(folder / "owner.json").get("pid")
    return f"{folder}, last opened by process {pid}" if isinstance(pid, int) else str(folder)


def _embedder(settings: Settings, specs: "list[CollectionSpec]") -> str:
    from search.index.contract import CollectionSpec

    embedder = build_embedder(settings)
    specs.append(CollectionSpec(embedder.dimension, embedder.fingerprint))
    return f"{embedder.fingerprint}, {embedder.dimension} dimensions, {embedder.tokenizer.max_tokens} tokens, on {embedder.device}"


def _words(settings: Settings) -> str:
    lexical = settings.lexical
    model = build_words(settings).model
    if model is None:
        return lexical.model if lexical.model == "none" else f"{lexical.model}, language {lexical.language}"
    window = "" if model.tokenizer is None else f", {model.max_tokens} tokens"
    return f"{model.fingerprint}{window}, on {model.device}"


def _try_chat(reranker: "Reranker") -> None:
    from search.reranking.chat import NoOrder

    try:
        reranker.score("cats", ["Dogs bark.", "Cats purr."])
    except NoOrder as failure:
        raise NoOrder(f"{failure}; it wrote: {failure.said or 'nothing'}", failure.said) from failure


def _reranker(settings: Settings) -> str:
    reranker = build_reranker(settings)
    if reranker is None:
        return "none"
    shares = [f"{reranker.recipe.share(fused=fused):g}" for fused in (True, False)]  # as a ranking says them
    details = [reranker.name, f"weight {', by vectors or words alone '.join(dict.fromkeys(shares))}"]
    if reranker.recipe.max_tokens:
        details.append(f"{reranker.recipe.max_tokens} tokens")
    device, activations = reranker.device, reranker.recipe.activations
    details.append(f"on {device}")
    if device == "cpu" and "CUDAExecutionProvider" in _runtimes():
        details.append(f"though CUDA is here, which {activations or 'this model'} does not run on")
    if isinstance(settings.reranker, ChatSettings):
        _try_chat(reranker)
        details.append("which gave an order")
    elif reranker.verified:
        details.append(f"verified by {reranker.verified}")
    else:
        details.append("unverified: its recipe has no golden scores of others")
    if isinstance(settings.reranker, CausalSettings) and device == "cuda":
        from search.reranking.attention import attention_kernels

        del reranker  # two would not always fit
        kernels = attention_kernels(Path(settings.reranker.model).expanduser(), settings.cuda)
        details.append(f"attention by {' and '.join(kernels) or 'a kernel it does not name'}")
    return ", ".join(details)


def _context(context: ContextSettings) -> str:
    return f"{context.max_tokens:,} tokens, by {counter(context.tokenizer).name}"


def _tenant(field: str | None, name: str | None) -> str:
    check_tenancy(field, name)
    return f"{name} alone, by {field}"


def _service(service: ServiceSettings) -> str:
    if importlib.util.find_spec("fastapi") is None:
        return "not installed: the extra serve"
    check_posix("search serve")
    from search.api.keys import check_listening
    from search.api.listening import is_taken

    check_listening(service)
    taken = ", where a program listens now" if is_taken(service.host, service.port) else ""
    keys = ", ".join(
        f"{name} ({', '.join(sorted(key.scopes))}{'' if key.tenant is None else f'; for {key.tenant}'})"
        for name, key in service.api_keys.items()
    )
    listening = f"{service.host}:{service.port}{taken}, {f'keys: {keys}' if keys else 'no keys, so for this machine only'}"
    if service.traces_url is None:
        return listening
    from search.api.traces import Traces

    Traces(service.traces_url).close()
    return f"{listening}, traces to {without_secrets(service.traces_url)}"


def _collection(settings: Settings, spec: "CollectionSpec") -> Iterator[Finding]:
    """The collection, its server, and what its points hold: all of them are read."""
    with ExitStack() as stack:
        try:
            engine = build_collections(settings)
        except SearchError as error:
            yield Finding("collection", ok=False, detail=str(error))
            return
        stack.callback(engine.close)
        index = engine.named(settings.collection, settings.storage)
        if settings.tenant_field is not None:
            from search.index.tenants import PartIndex

            index = PartIndex(index, settings.tenant_field, None)
        stack.callback(index.close)
        opened = _finding("collection", lambda: _opened(settings, spec, index))
        yield opened
        try:
            checks = engine.health(settings.collection, declared_indexes(settings))
        except SearchError as error:
            checks = []
            if opened.ok:  # else it was said already
                yield Finding("server", ok=False, detail=str(error))
        yield from (Finding(check.name, check.ok, check.detail) for check in checks)
        if opened.ok and not opened.detail.endswith(_EMPTY):
            if (field := settings.tenant_field) is not None:
                yield _finding("tenants", lambda: _tenants(index, field))
            yield _finding("points", lambda: _points(index, shared=settings.tenant_field is not None))


def _opened(settings: Settings, spec: "CollectionSpec", index: "VectorIndex") -> str:
    """What there is in a collection, which is open then."""
    try:
        index.ensure(spec, create=False)
    except CollectionNotFound:
        return f"{index.name} at {index.location}: {_EMPTY}"
    holds = f"{index.name} at {index.location}: {counted(index.count(), 'passage')}"
    if index.spec.layout:
        return f"{holds}, of another program: {index.spec.layout}"
    words = build_words(settings)
    words(index.spec.lexical)  # which tells of words that cannot be made here
    if settings.lexical.model != "none" and not index.spec.lexical:
        holds += ", found by vectors alone (search reindex adds words, and embeds nothing again)"
    if names := differing(index, settings.lexical, words):
        holds += f", made otherwise than {names} of the settings (search reindex brings it over)"
    return holds


def _tenants(index: "VectorIndex", field: str) -> str:
    """Who shares the collection, and what is nobody's, so that nobody finds it."""
    from search.index.tenants import parts_of

    *tenants, nobodys = parts_of(field, index)
    said = f"{len(tenants):,} named in {field}"
    if left := index.count(nobodys):
        raise SearchError(
            f"{said}; {counted(left, 'passage names none, and is', 'passages name none, and are')} in no search: "
            "ingest their sources for whom they are of; "
            "`search reindex --drop-unowned` then leaves out the rest"
        )
    if not index.spec.tenant and not index.spec.layout:
        return (
            f"{said}, which the collection does not note, so that settings without tenant_field see all (search reindex notes it)"
        )
    return said


def _points(index: "VectorIndex", *, shared: bool) -> str:
    from search.ingestion.damage import survey  # its package needs a runtime, which may be what is missing

    damage = survey(index, repeated=True)
    if not str(damage):
        return "all hold passages"
    message = str(damage)
    if damage.damaged and shared:  # what names no tenant is in nobody's sync
        message += "; `search reindex` leaves out what is damaged, and the sources can be ingested again then"
    elif damage.damaged:
        message += "; ingest the sources with --sync, which mends what is damaged"
    if damage.repeated:
        message += "; ingest the documents again that are there twice so, which removes what repeats them, or `search reindex`"
    if damage.foreign:
        message += "; searches leave out what other programs write, so give those a collection of their own"
    raise SearchError(message)
