"""An assistant searches, reads and, if it may, writes: spoken to as assistants do."""

import asyncio
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import error, search
from mcp import Client as Assistant
from mcp import StdioServerParameters
from mcp.server.mcpserver.exceptions import ToolError
from qdrant_client import QdrantClient
from serving import Served, serving, slowed, wait_until, with_birds, with_pets
from standin import Fault, QdrantStandIn
from theirs import fill, on

from search.api.keys import new_key
from search.client import Client
from search.documents import Document
from search.embedding.dense import FastEmbedEmbedder
from search.mcp_server import build_assistant
from search.searcher import open_search
from search.settings import Settings

FISH = f"Fish swim {'x' * 190} " * 600  # of many characters and few tokens: a word of more than a hundred is one
SEARCH = str(Path(sys.executable).parent / "search")


async def called(assistant: Assistant, tool: str, **given: Any) -> Any:
    answer: Any = await assistant.call_tool(tool, given)
    if answer.is_error:
        return str(answer.content[0].text)
    return answer.structured_content


async def play(assistant: Assistant) -> None:
    tools = {tool.name: tool for tool in (await assistant.list_tools()).tools}
    assert sorted(tools) == ["context", "facets", "get_document", "ingest", "search"]
    for one in tools.values():
        assert one.description
        assert all(field["description"].endswith(".") for field in one.input_schema["properties"].values()), one.name
    told = await called(assistant, "facets")
    assert sorted(told["values"]["metadata.kind"]) == ["bird", "cat", "dog"]
    assert (told["ranges"], told["documents"], told["complete"]) == ({"metadata.legs": [2, 4]}, 3, True)
    about = tools["search"].input_schema["properties"]["filter"]["description"]
    for example in re.findall(r"{.*?]}", about):
        assert "notes" in await called(assistant, "search", query="x", filter=json.loads(example))
    assert f"{100_000:,} characters" in str(tools["get_document"].description)
    found = await called(assistant, "search", query="What sleeps?", limit=2)
    assert len(found["passages"]) == 2
    assert found["reranking"] == "full"
    assert {one["document_id"] for one in found["passages"]} <= {"pets/cats.md", "dogs", "birds"}
    four = {"must": [{"key": "metadata.legs", "match": {"value": 2}}]}
    assert [one["document_id"] for one in (await called(assistant, "search", query="x", filter=four))["passages"]] == ["birds"]
    by_words = await called(assistant, "search", query="the cat", retrieval="lexical")
    assert [one["document_id"] for one in by_words["passages"]] == ["pets/cats.md"]
    assert "retrieval" in await called(assistant, "search", query="x", retrieval="sparse")
    none = {"must": [{"key": "metadata.legs", "match": {"value": 100}}]}
    for tool in ("search", "context"):
        assert (await called(assistant, tool, query="x", filter=none))["notes"][0].startswith("the filter excludes all of ")
    nothing = {"must_not": [{"key": "metadata.legs"}]}
    assert "tests nothing" in await called(assistant, "search", query="x", filter=nothing)
    read = await called(assistant, "get_document", document_id="pets/cats.md")
    assert (read["title"], read["text"], read["goes_on_at"]) == ("Cats", "Cats sleep most of the day.", None)
    assert "there is no document 'nobody'" in await called(assistant, "get_document", document_id="nobody")
    assert "the query is empty" in await called(assistant, "search", query=" ")
    added = await called(assistant, "ingest", id="fish", text=FISH, metadata={"legs": 0})
    assert added["added"] == 1
    begun = await called(assistant, "get_document", document_id="fish")
    assert begun["goes_on_at"] == len(begun["text"]) == 100_000
    rest = await called(assistant, "get_document", document_id="fish", start=100_000)
    assert (begun["text"] + rest["text"], rest["goes_on_at"]) == (FISH, None)
    assert any("the query has" in note for note in (await called(assistant, "search", query="word " * 300))["notes"])
    assert "no text" in await called(assistant, "ingest", id="empty", text=" ")


def test_over_a_collection_of_ones_own(settings: Settings) -> None:
    async def run() -> None:
        with open_search(settings) as searcher:
            with_pets(searcher)
            async with Assistant(build_assistant(searcher, may_ingest=True)) as assistant:
                await play(assistant)

    asyncio.run(run())


def test_arguments_that_there_are_not_are_refused(settings: Settings) -> None:
    """Else "filters" in the place of "filter" would give an answer that is filtered by nothing."""

    async def run() -> None:
        with open_search(settings) as searcher:
            with_pets(searcher)
            async with Assistant(build_assistant(searcher, may_ingest=True)) as assistant:
                for name in ("filters", "collection", "top_k", "min_score"):
                    told = await called(assistant, "search", **{"query": "What sleeps?", name: None})
                    assert told == f"there is no argument '{name}'; there are query, limit, filter, retrieval"
                told = await called(assistant, "search", query="x", limit=0, retrieval="dens")
                assert told.startswith("limit: Input should be greater than or equal to 1; retrieval: Input should be 'hybrid'")
                assert "pydantic" not in told
                told = await called(assistant, "get_document", document_id="birds", end=5)
                assert "there is no argument 'end'; there are document_id, start" in told
                told = await called(assistant, "ingest", id="a", text="b", metdata={"a": 1})
                assert "there is no argument 'metdata'; there are id, text, title, metadata" in told
                assert "there is no argument 'm" in (told := await called(assistant, "search", query="x", **{"m" * 1_000_000: 1}))
                assert len(told) < 1_000
                for tool in (await assistant.list_tools()).tools:
                    assert tool.input_schema["additionalProperties"] is False
                    assert tool.input_schema["title"].endswith("Arguments")

    asyncio.run(run())


def test_half_of_a_surrogate_pair_is_refused(settings: Settings) -> None:
    half = "caf\ud83d"

    async def run() -> None:
        with open_search(settings) as searcher:
            with_pets(searcher)
            server = build_assistant(searcher, may_ingest=True)
            for tool, given in (
                ("search", {"query": half}),
                ("search", {"query": "x", "filter": {"must": [{"key": half, "match": {"value": 1}}]}}),
                ("get_document", {"document_id": half}),
                ("ingest", {"id": "a", "text": "b", "metadata": {"a": half}}),
            ):
                with pytest.raises(ToolError, match="half of a surrogate pair"):
                    await server.call_tool(tool, given)

    asyncio.run(run())


def test_arguments_of_another_type_are_refused(settings: Settings) -> None:
    async def run() -> None:
        with open_search(settings) as searcher:
            with_pets(searcher)
            async with Assistant(build_assistant(searcher, may_ingest=True)) as assistant:
                for tool, given in (
                    ("search", {"limit": "2"}),
                    ("search", {"limit": True}),
                    ("search", {"query": 5}),
                    ("context", {"max_tokens": "100"}),
                    ("get_document", {"document_id": "birds", "start": True}),
                ):
                    query = {} if tool == "get_document" else {"query": "x"}
                    assert "Input should be a valid" in await called(assistant, tool, **(query | given))
                written = '{"must": [{"key": "metadata.legs", "match": {"value": 2}}]}'
                found = await called(assistant, "search", query="x", filter=written)
                assert [one["document_id"] for one in found["passages"]] == ["birds"]
                twice = '{"must": [], "must": [{"key": "metadata.legs", "match": {"value": 2}}]}'
                assert "filter: 'must' stands twice in one object" in await called(assistant, "search", query="x", filter=twice)

    asyncio.run(run())


def test_the_server_says_its_version(settings: Settings) -> None:
    async def run() -> None:
        with open_search(settings) as searcher:
            async with Assistant(build_assistant(searcher, may_ingest=False)) as assistant:
                assert assistant.server_info is not None
                assert assistant.server_info.version == importlib.metadata.version("two-stage-search")

    asyncio.run(run())


@pytest.fixture
def served(settings: Settings) -> Iterator[Served]:
    with serving(settings, with_pets) as one:
        yield one


def test_over_a_running_service(served: Served) -> None:
    async def run() -> None:
        with Client(served.url) as client:
            async with Assistant(build_assistant(client, may_ingest=True)) as assistant:
                await play(assistant)

    asyncio.run(run())


def test_as_a_command_on_standard_input_and_output(tmp_path: Path) -> None:
    with open_search(Settings(data_dir=tmp_path)) as searcher:
        searcher.ingest([Document("a", "Cats sleep.")])

    async def run() -> None:
        given = StdioServerParameters(command=SEARCH, args=["mcp", "--data-dir", str(tmp_path)], env=dict(os.environ))
        async with Assistant(given) as assistant:
            assert sorted(tool.name for tool in (await assistant.list_tools()).tools) == [
                "context",
                "facets",
                "get_document",
                "search",
            ]
            assert (await called(assistant, "search", query="What sleeps?"))["passages"][0]["document_id"] == "a"

    asyncio.run(run())


HELLO = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "a test", "version": "1"}}
UNFIT = {  # lines, and who hears what of each
    "half of a pair": (
        r'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search","arguments":{"query":"caf\ud83d"}}}',
        (1, -32600, "params.arguments.query holds half of a surrogate pair"),
    ),
    "half of a pair as id": (
        r'{"jsonrpc":"2.0","id":"\ud83d","method":"ping"}',
        (None, -32600, "id holds half of a surrogate pair"),
    ),
    "a name twice": (
        '{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"search","arguments":{"query":"x","filter":{"must":[],"must":[]}}}}',
        ("a", -32600, "'must' stands twice in one object"),
    ),
    "no method": ('{"jsonrpc":"2.0","id":2}', (2, -32600, "no message of JSON-RPC 2.0")),
    "no version": ('{"id":true,"method":"ping"}', (None, -32600, "no message of JSON-RPC 2.0")),
    **{
        f"the id {text}": (
            f'{{"jsonrpc":"2.0","id":{text},"method":"ping"}}',
            (None, -32600, "the id is no string and no whole number"),
        )
        for text in ("null", "1.5", "1.0", "true", "[]", "{}")
    },
    "an id to a notice": (
        '{"jsonrpc":"2.0","id":null,"method":"notifications/initialized"}',
        (None, -32600, "the id is no string and no whole number"),
    ),
    "a result in a request": ('{"id":4,"method":"ping","result":{}}', (4, -32600, "no message of JSON-RPC 2.0")),
    "no object": ("[]", (None, -32600, "no message of JSON-RPC 2.0")),
    "no JSON": ('{"jsonrpc":"2.0","id":3,', (None, -32700, "not JSON")),
    "too deep": ("[" * 100_000, (None, -32700, "not JSON")),
}


def test_every_line_is_answered(tmp_path: Path) -> None:
    """Else whoever sent it waits for good."""
    with open_search(Settings(data_dir=tmp_path)) as searcher:
        searcher.ingest([Document("a", "Cats sleep.")])
    lines = [json.dumps({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": HELLO})]
    lines += ['{"jsonrpc":"2.0","method":"notifications/initialized"}', *(line for line, _ in UNFIT.values())]
    lines.append('{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"get_document","arguments":{"document_id":"a"}}}')
    given = [SEARCH, "mcp", "--data-dir", str(tmp_path)]
    with subprocess.Popen(given, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        ends = threading.Timer(30, process.kill)
        ends.start()
        process.stdin.write("\n".join(lines) + "\n")
        process.stdin.flush()
        answers = [json.loads(process.stdout.readline()) for _ in range(2 + len(UNFIT))]
        process.stdin.close()
        assert process.stdout.read() == ""
        ends.cancel()
    assert process.returncode == 0
    assert next(one for one in answers if one["id"] == 9)["result"]["structuredContent"]["text"] == "Cats sleep."
    told = [(one["id"], one["error"]["code"], one["error"]["message"]) for one in answers if "error" in one]
    for (number, code, message), (name, (_, expected)) in zip(told, UNFIT.items(), strict=True):
        assert (number, code) == expected[:2], name
        assert expected[2] in message, name


BEGUN: list[dict[str, Any]] = [
    {"id": 1, "method": "initialize", "params": HELLO},
    {"method": "notifications/initialized"},
]
CALL = {"name": "search", "arguments": {"query": "What sleeps?"}}


def written(messages: list[dict[str, Any]]) -> str:
    return "".join(json.dumps({"jsonrpc": "2.0", **one}) + "\n" for one in messages)


def answers_to(messages: list[dict[str, Any]], *options: str) -> list[dict[str, Any]]:
    """What a script hears that writes its lines, closes, and reads."""
    given = [SEARCH, "mcp", *options]
    done = subprocess.run(given, input=written(messages), capture_output=True, text=True, timeout=50, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_what_is_under_way_when_the_lines_end_is_answered(settings: Settings) -> None:
    messages: list[dict[str, Any]] = [
        *BEGUN,
        *({"id": number, "method": "tools/call", "params": CALL} for number in ("a", 2, 2, "7")),
        {"method": "notifications/cancelled", "params": {"requestId": "7"}},
        {"id": 9, "method": "ping"},
    ]
    with serving(settings, with_pets, queue_s=30) as served:
        slowed(served, 0.3)
        answers = answers_to(messages, "--url", served.url)
    assert sorted(str(one["id"]) for one in answers) == ["1", "2", "2", "9", "a"]  # nobody waits for what was cancelled
    assert all(one["result"]["structuredContent"]["passages"] for one in answers if one["id"] in {"a", 2})


def test_a_client_that_goes_away_is_no_fault(served: Served) -> None:
    slow = slowed(served, 1)
    given = [SEARCH, "mcp", "--url", served.url]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(given, text=True, **pipes) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write(written([*BEGUN, {"id": 2, "method": "tools/call", "params": CALL}]))
        process.stdin.flush()
        wait_until(lambda: slow.calls == 1, 30)
        process.stdin.close()
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


def test_a_subscription_ends_with_the_lines(tmp_path: Path) -> None:
    names = {"protocolVersion": "2026-07-28", "clientInfo": HELLO["clientInfo"], "clientCapabilities": {}}
    meta = {"_meta": {f"io.modelcontextprotocol/{name}": value for name, value in names.items()}}
    listen = {"id": 1, "method": "subscriptions/listen", "params": {"notifications": {"toolsListChanged": True}, **meta}}
    answers = answers_to([listen, {"id": 2, "method": "tools/list", "params": meta}], "--data-dir", str(tmp_path))
    assert next(one for one in answers if one.get("id") == 2)["result"]["tools"]


@pytest.mark.parametrize("most", [10, 15])
def test_a_service_that_retrieves_few_passages(settings: Settings, most: int) -> None:
    few = settings.model_copy(update={"depth": 10, "limit": 4})

    async def run(url: str) -> None:
        with Client(url) as client:
            async with Assistant(build_assistant(client, may_ingest=False)) as assistant:
                for tool, given in (("context", {}), ("search", {"limit": 16})):
                    found = await called(assistant, tool, query="What sings at dawn?", **given)
                    assert len(found.get("sources") or found["passages"]) == 4
                    wanted = given.get("limit", 20)
                    told = f"limit is {wanted}; this service retrieves {most} at most; these are as many as it gives unasked"
                    assert told in found["notes"]
                found = await called(assistant, "search", query="What sings at dawn?", limit=8)
                assert (len(found["passages"]), found["notes"]) == (8, [])
                assert "the query is empty" in await called(assistant, "context", query=" ")

    with serving(few, with_birds, max_depth=most) as served:
        asyncio.run(run(served.url))


READERS = {"search", "context", "get_document", "facets"}


def offered(*options: object, **environment: Any) -> tuple[set[str], str]:
    """The tools of the command, and what it says beside them."""
    lines = written([*BEGUN, {"id": 2, "method": "tools/list"}])
    way_out, way_in = os.pipe()
    os.write(way_in, lines.encode())
    os.close(way_in)
    kept = os.dup(0)
    os.dup2(way_out, 0)
    os.close(way_out)
    try:
        done = search("mcp", *options, **environment)
    finally:
        os.dup2(kept, 0)
        os.close(kept)
    listed = next(one for one in map(json.loads, done.stdout.splitlines()) if one.get("id") == 2)
    return {tool["name"] for tool in listed["result"]["tools"]}, done.stderr


def test_a_tenant_is_named_at_the_start(settings: Settings) -> None:
    shared = {"SEARCH_TENANT_FIELD": "metadata.customer"}
    assert "say for which one: --tenant NAME" in error("mcp", **shared)
    assert offered("--tenant", "acme", **shared) == (READERS, "")
    with serving(settings.model_copy(update={"tenant_field": "metadata.customer"})) as served:
        through = ("--url", served.url)
        for options in ([], ["--allow-ingest"]):
            assert error("mcp", *through, *options).endswith("send X-Tenant: NAME, as commands do with --tenant NAME\n")
        assert offered(*through, "--tenant", "acme") == (READERS, "")


def test_no_tool_is_offered_that_can_never_work(
    standin: QdrantStandIn, bundled_embedder: FastEmbedEmbedder, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(QdrantClient(standin.url), bundled_embedder)
    where = {"SEARCH_INDEX__ENGINE": "qdrant", "SEARCH_INDEX__URL": standin.url}
    assert offered("--allow-ingest", "--collection", "theirs", **where) == (
        READERS,
        "note: --allow-ingest gives no tool here: another program made 'theirs', which is searched and never written to\n",
    )
    assert offered("--allow-ingest", **where) == ({*READERS, "ingest"}, "")  # which makes a collection
    with monkeypatch.context() as hurried:
        hurried.setattr("search.cli.serve._ASKED_S", 0.1)
        standin.faults.append(Fault(delay_s=0.5))
        assert offered("--allow-ingest", "--collection", "theirs", **where) == ({*READERS, "ingest"}, "")  # it may say so later
    with serving(on(standin, Path(settings.data_dir))) as served:
        tools, said = offered("--allow-ingest", "--url", served.url)
    assert tools == READERS
    assert "note: --allow-ingest gives no tool here: another program made the collection" in said
    with open_search(settings) as searcher:
        with_pets(searcher)
    own = ("--allow-ingest", "--data-dir", settings.data_dir)
    assert offered(*own) == ({*READERS, "ingest"}, "")
    tools, said = offered(*own, "--tenant", "acme", SEARCH_TENANT_FIELD="metadata.legs")
    unshared = "--allow-ingest gives no tool here: collection 'documents' does not note that tenants share it"
    assert tools == READERS
    assert unshared in said
    with serving(settings.model_copy(update={"tenant_field": "metadata.legs"})) as served:
        tools, said = offered("--allow-ingest", "--url", served.url, "--tenant", "acme", SEARCH_TENANT_FIELD="metadata.legs")
    assert tools == READERS
    assert unshared in said


def test_a_key_that_may_only_search_is_offered_no_more(settings: Settings) -> None:
    keys = {name: new_key() for name in ("reads", "writes")}
    given = {
        name: {"sha256": digest, "scopes": ["search", "write"][: 1 + (name == "writes")]} for name, (_, digest) in keys.items()
    }
    with serving(settings, api_keys=given) as served:
        tools = {name: offered("--allow-ingest", "--url", served.url, SEARCH_CLIENT_KEY=key) for name, (key, _) in keys.items()}
        assert offered("--url", served.url, SEARCH_CLIENT_KEY=keys["reads"][0]) == (READERS, "")
    assert tools["writes"] == ({*READERS, "ingest"}, "")
    assert tools["reads"] == (
        READERS,
        "note: --allow-ingest gives no tool here: this key may not do that: it needs the scope write\n",
    )
