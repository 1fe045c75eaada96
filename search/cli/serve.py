"""The service: the commands that run it, ask how it is, make keys, and answer an assistant."""

import functools
import http.client
import json
import logging
import os
import signal
import ssl
import sys
import threading
from collections.abc import Callable
from contextlib import closing, nullcontext
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import typer
from pydantic import ValidationError

from search.cli.options import (
    DEFAULTS,
    AsJson,
    Collection,
    DataDir,
    Tenant,
    WrongUsage,
    by_settings,
    load_settings,
    note_differing,
    print_json,
    usage,
)
from search.documents import Document
from search.errors import (
    CollectionForeign,
    CollectionUnshared,
    InvalidSettings,
    SearchError,
    ServiceRefused,
    ServiceUnreachable,
    TenantRequired,
)
from search.network.deadlines import within
from search.searcher import Searcher, open_search
from search.settings import EdgeSettings, KeySettings, Scope, Settings, adding_to_own
from search.system.posix import check_posix
from search.system.terminal import check_shown, note, show

_HOST, _PORT = by_settings(DEFAULTS.service.host), by_settings(DEFAULTS.service.port)
_PATIENCE_S = 5.0
_HEALTH_S = 2.0
_ASKED_S = 5.0  # that a service or a Qdrant server has to say whether it takes documents
_READY = 200
_SCOPES: tuple[str, ...] = get_args(Scope)


def serve(
    host: Annotated[str | None, typer.Option(help="The address to listen on.", show_default=_HOST)] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0: any that is free.", show_default=_PORT)] = None,
    log: Annotated[
        Literal["json", "text", "none"], typer.Option(help="json, text, or none: one line a request, on stderr.")
    ] = "text",
    data_dir: DataDir = None,
    collection: Collection = None,
) -> None:
    """Serve a collection over HTTP: an API, a page, and reranking as Cohere's, Jina's, TEI's and vLLM's clients expect it."""
    check_posix("search serve")
    from search.api.keys import check_listening
    from search.api.logs import write_logs
    from search.api.server import build_server
    from search.api.state import Service

    settings = _settings(data_dir, collection, {"host": host, "port": port})
    service = settings.service
    check_listening(service)
    if log != "none":
        write_logs(as_json=log == "json")
    logging.getLogger("search").info("loading models")

    ending = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup's; else a terminal that closes ends it like SIGTERM
        ending.append(signal.SIGHUP)
    for number in ending:  # while it loads; later the server ends by them, and raises them again
        signal.signal(number, lambda *_: sys.exit(0))

    with open_search(settings) as searcher:
        started = Service(settings, searcher)
        started.warm_up()
        note_differing(searcher)

        def end_within(seconds: float) -> None:
            """Whatever hangs, be it a model, the engine or the interpreter's own end, this process ends."""
            watching = threading.Timer(seconds, cut_off)
            watching.daemon = True
            watching.start()

        def cut_off() -> None:
            note("something does not end; cut off")
            started.abort()
            os._exit(1)

        server = build_server(started, on_listening=lambda url: note(f"listening on {url}"), on_ending=end_within)
        if signal.SIGHUP in ending:  # which uvicorn leaves alone
            signal.signal(signal.SIGHUP, lambda *_: setattr(server, "should_exit", True))
        server.run()


def _settings(data_dir: Path | None, collection: str | None, listening: dict[str, Any]) -> Settings:
    """The settings as a service needs them: the engine in a process of its own, and no more patience than clients have."""
    values = {name: value for name, value in listening.items() if value is not None}
    settings = load_settings(data_dir, collection, service=values or None)
    patience_s = min(settings.ingestion.patience_s, _PATIENCE_S)  # a client waits for the answer
    update: dict[str, object] = {"ingestion": settings.ingestion.model_copy(update={"patience_s": patience_s})}
    if isinstance(settings.index, EdgeSettings):
        update["index"] = EdgeSettings(own_process=True)
    return settings.model_copy(update=update)


def health(
    host: Annotated[str | None, typer.Option(help="Where it listens.", show_default=_HOST)] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="The port that it listens at.", show_default=_PORT)] = None,
) -> None:
    """Ask the service that these settings describe whether it is ready, as containers do: exit status 0 if so, else 1."""
    service = load_settings(None, None).service
    where = _dialled(host or service.host)
    port = port or service.port
    if not port:
        raise InvalidSettings("the settings leave the port to the system (0): name it with --port")
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE  # its certificate names no 127.0.0.1, and nothing secret is sent
    connection = (
        http.client.HTTPSConnection(where, port, timeout=_HEALTH_S, context=tls)
        if service.certificate
        else http.client.HTTPConnection(where, port, timeout=_HEALTH_S)
    )
    url = f"{'https' if service.certificate else 'http'}://{f'[{where}]' if ':' in where else where}:{port}"
    try:
        with closing(connection):
            connection.request("GET", "/readyz")
            status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise ServiceUnreachable(f"{url} does not answer ({str(error) or type(error).__name__})") from error
    if status != _READY:
        raise ServiceRefused(f"{url} is not ready (HTTP {status})")
    show(f"{url} is ready")


def _dialled(host: str) -> str:
    """Where to call what listens at an address; "any" is none."""
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host).strip("[]")  # noqa: S104  # it is not listened at


def key(
    name: Annotated[str, typer.Argument(help="For whom or what it is.")],
    scope: Annotated[
        list[str] | None, typer.Option(help="search, write or admin; several times for several.", show_default="search")
    ] = None,
    tenant: Annotated[
        str | None, typer.Option(help="Whose documents alone it is for, where several customers share them.", show_default=False)
    ] = None,
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Write its hash into your own file of settings, which lets it in.")] = False,
    if_none: Annotated[bool, typer.Option("--if-none", help="Make none where the settings have keys already.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make an API key: shown once, and the line of the settings that lets it in, with its hash only."""
    from search.api.keys import new_key

    if if_none and (keys := load_settings(None, None).service.api_keys):
        note(f"there are keys already: {', '.join(sorted(keys))}")
        if as_json:
            print_json({"name": name, "key": None, "keys": sorted(keys)})
        return
    scopes = scope or ["search"]
    if unknown := [value for value in scopes if value not in _SCOPES]:
        raise WrongUsage(f"there is no scope {unknown[0]!r}; there are {', '.join(_SCOPES)}")
    if not name.replace("-", "").replace("_", "").isalnum():
        raise WrongUsage(f"{name!r} cannot name a key; use letters, digits, hyphens and underscores")
    made, digest = new_key()
    fields: dict[str, Any] = {"sha256": digest, "scopes": scopes, **({} if tenant is None else {"tenant": tenant})}
    _check_key(fields, kept=keep)
    section = f"[service.api_keys.{json.dumps(name, ensure_ascii=False)}]"  # quoted, as TOML has it for letters other than ASCII's
    lines = [section, *(f"{field} = {json.dumps(value, ensure_ascii=False)}" for field, value in fields.items())]
    with adding_to_own("\n".join(lines)) if keep else nullcontext() as file:
        if as_json:
            print_json({"name": name, "key": made, **fields, **({"file": str(file)} if file else {})})
        else:
            show(f"key, which is shown only now: {made}", "")
            _show_key(name, fields, lines, file)
        check_shown()


def _show_key(name: str, fields: dict[str, Any], lines: list[str], file: Path | None) -> None:
    """Which file lets a key in, or what is to be written to let it in."""
    if file:
        whose = f", for the tenant {fields['tenant']}" if "tenant" in fields else ""
        show(f"{file} lets it in ({', '.join(fields['scopes'])}{whose}); a service that runs, once it is started again")
        return
    show("in a search.toml of yours:", "", *lines, "", "or, as the only one, in the environment:", "")
    show(f"SEARCH_SERVICE__API_KEYS={json.dumps({name: fields})}")


def _check_key(fields: dict[str, Any], *, kept: bool) -> None:
    """Refuse to make a key that the settings would then refuse."""
    try:
        KeySettings.model_validate(fields)
    except ValidationError as error:
        faults = (one["msg"].removeprefix("Value error, ") for one in error.errors(include_input=False, include_url=False))
        raise WrongUsage("; ".join(faults)) from error
    if kept and "tenant" in fields and load_settings(None, None).tenant_field is None:
        raise InvalidSettings("a key of a tenant needs to know where documents name theirs: set tenant_field first")


def mcp(
    url: Annotated[
        str | None, typer.Option(help="Of a running search serve, instead of a collection of one's own.", show_default=False)
    ] = None,
    data_dir: DataDir = None,
    collection: Collection = None,
    tenant: Tenant = None,
    *,
    allow_ingest: Annotated[bool, typer.Option("--allow-ingest", help="Let the assistant add and replace documents.")] = False,
) -> None:
    """Let an assistant search a collection, by the Model Context Protocol on standard input and output.

    With --url, the setting client_key (SEARCH_CLIENT_KEY) is the key for the service.
    """
    from search.context.counting import counter
    from search.mcp_server import build_assistant

    settings = load_settings(data_dir, collection, tenant=tenant)
    counts = counter(settings.context.tokenizer)
    build = functools.partial(
        build_assistant, max_tokens=settings.context.max_tokens, tokenizer=counts, metadata=settings.context.metadata
    )
    if url is None:
        with open_search(settings) as searcher:
            searcher.owner()  # or every call would be refused
            may_ingest = allow_ingest and _takes(lambda: _check_written(searcher), wanted=True)
            build(searcher, may_ingest=may_ingest).run("stdio")
        return
    from search.client import Client

    key = settings.client_key.get_secret_value() if settings.client_key else None
    connected = functools.partial(Client, url, key=key, collection=collection, tenant=settings.tenant)
    with usage():
        client = connected()

    def ask() -> None:
        with connected(timeout_s=_ASKED_S) as asked:
            if allow_ingest:
                asked.ingest([Document("-", "-")], dry_run=True)
            else:
                asked.get("-")

    with client:
        build(client, may_ingest=_takes(ask, wanted=allow_ingest)).run("stdio")


def _check_written(searcher: Searcher) -> None:
    """Refuse a collection that takes no documents from here: CollectionForeign, CollectionUnshared."""
    from search.index.tenants import check_noted

    field = searcher.settings.tenant_field
    with within(_ASKED_S):
        info = searcher.collections.info(searcher.settings.collection)
    if info.spec is None:
        raise CollectionForeign(f"another program made {info.name!r}, which is searched and never written to")
    if field is not None:
        check_noted(info.name, info.spec, field)


def _takes(ask: Callable[[], object], *, wanted: bool) -> bool:
    """Whether documents are taken, as far as that can be known now; if that is wanted and not so, stderr says why."""
    try:
        ask()
    except TenantRequired:  # as every call would be
        raise
    except SearchError as error:
        forbidden = isinstance(error, ServiceRefused) and error.status == HTTPStatus.FORBIDDEN
        if wanted and (forbidden or isinstance(error, CollectionForeign | CollectionUnshared)):
            note(f"note: --allow-ingest gives no tool here: {error}")
            return False
    return wanted  # whatever else is wrong may pass
