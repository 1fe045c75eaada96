"""What is sent to the service is checked at one door: how much there is, whether it can be stored, and each document by itself."""

import gzip
import json
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from serving import JSON, Served, resident, serving, with_pets

from search.api.state import _PART_S, _in_parts
from search.settings import Settings

HALF = "caf\ud83d"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(Settings(data_dir=tmp_path_factory.mktemp("data")), with_pets) as one:
        yield one


BODIES: dict[str, tuple[str, str, Any]] = {
    "a query": ("POST", "/v1/search", {"query": HALF}),
    "a filter's value": ("POST", "/v1/search", {"query": "x", "filter": {"must": [{"key": "title", "match": {"value": HALF}}]}}),
    "a filter's key": ("POST", "/v1/search", {"query": "x", "filter": {"must": [{"key": HALF, "match": {"value": "a"}}]}}),
    "an unknown field": ("POST", "/v1/search", {"query": "x", HALF: 1}),
    "a query of several": ("POST", "/v1/search/batch", {"searches": [{"query": "x"}, {"query": HALF}]}),
    "an id": ("POST", "/v1/documents/delete", {"ids": [HALF]}),
    "an id to update": ("PATCH", "/v1/documents", {"ids": [HALF], "metadata": {"a": 1}}),
    "metadata to set": ("PATCH", "/v1/documents", {"ids": ["birds"], "metadata": {"a": [HALF]}}),
    "a name of metadata": ("PATCH", "/v1/documents", {"ids": ["birds"], "metadata": {HALF: 1}}),
    "a count": ("POST", "/v1/documents/count", {"filter": {"must": [{"key": "title", "match": {"value": HALF}}]}}),
    "an alias": ("POST", "/v1/collections/aliases", {"alias": HALF, "collection": "documents"}),
    "TEI's query": ("POST", "/rerank", {"query": HALF, "texts": ["a"]}),
    "TEI's text": ("POST", "/rerank", {"query": "x", "texts": ["a", HALF], "return_text": True}),
    "Jina's query": ("POST", "/v1/rerank", {"query": HALF, "documents": ["a"]}),
    "Jina's document": ("POST", "/v1/rerank", {"query": "x", "documents": ["a", HALF]}),
    "a text in an object": ("POST", "/v1/rerank", {"query": "x", "documents": [{"text": HALF}]}),
    "Cohere's document": ("POST", "/v2/rerank", {"query": "x", "documents": [HALF]}),
    "a model's name": ("POST", "/v2/rerank", {"query": "x", "documents": ["a"], "model": HALF}),
    "vLLM's text": ("POST", "/score", {"text_1": "x", "text_2": [HALF]}),
}


@pytest.mark.parametrize("name", BODIES)
def test_half_of_a_surrogate_pair_is_refused_wherever_it_stands(name: str, served: Served) -> None:
    method, path, body = BODIES[name]
    answer = served.http.request(method, path, content=json.dumps(body), headers=JSON)
    assert answer.status_code == 422, answer.text
    assert "half of a surrogate pair" in answer.text
    raw = json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass")  # bytes that are no UTF-8
    assert served.http.request(method, path, content=raw, headers=JSON).status_code in {400, 422}


@pytest.mark.parametrize("field", ["min_score", "lexical_share", "budget_ms", "limit", "depth"])
def test_a_number_is_no_text_and_no_truth(field: str, served: Served) -> None:
    """As the library has it, which converts nothing either."""
    for wrong in ("0.5", "1", True, [1]):
        body = json.dumps({"query": "x", field: wrong})
        for path, sent in (("/v1/search", body), ("/v1/search/batch", f'{{"searches": [{body}]}}'), ("/v1/context", body)):
            answer = served.http.post(path, content=sent, headers=JSON)
            assert (answer.status_code, f"{field}: Input should be" in answer.text) == (422, True), (wrong, answer.text)
    assert served.http.post("/v1/search", json={"query": "x", "limit": 1, field: 1}).status_code == 200


TWICE: dict[str, tuple[str, str, str]] = {
    "query": ("POST", "/v1/search", '{"query": "cats", "query": "dogs"}'),
    "filter.must": ("POST", "/v1/documents/delete", '{"filter": {"must": [{"key": "title"}], "must": []}, "dry_run": true}'),
    "filter.must[0].match.value": (
        *("POST", "/v1/documents/count"),
        '{"filter": {"must": [{"key": "title", "match": {"value": "a", "value": "b"}}]}}',
    ),
    "searches[1].limit": ("POST", "/v1/search/batch", '{"searches": [{"query": "x"}, {"query": "x", "limit": 1, "limit": 2}]}'),
    "metadata.a.b": ("PATCH", "/v1/documents", '{"ids": ["birds"], "metadata": {"a": {"b": 1, "b": 1}}}'),
    "documents": ("POST", "/v1/documents", '{"documents": [{"id": "a", "text": "x"}], "documents": []}'),
    "texts": ("POST", "/rerank", '{"query": "x", "texts": ["a"], "texts": ["b"]}'),
    "documents[0].text": ("POST", "/v2/rerank", '{"query": "x", "documents": [{"text": "a", "text": "b"}]}'),
    "user.a": ("POST", "/v1/rerank", '{"query": "x", "documents": ["a"], "user": {"a": 1, "a": 2}}'),
    "text_2": ("POST", "/score", '{"text_1": "x", "text_2": ["a"], "text_2": ["b"]}'),
}


@pytest.mark.parametrize("name", TWICE)
def test_a_name_that_stands_twice_is_refused_with_its_place(name: str, served: Served) -> None:
    method, path, body = TWICE[name]
    answer = served.http.request(method, path, content=body, headers=JSON)
    assert answer.status_code == 422, answer.text
    assert f'"{name} stands twice in one object' in answer.text
    large = body + " " * 70_000
    assert f'"{name} stands twice in one object' in served.http.request(method, path, content=large, headers=JSON).text


def test_a_document_in_which_a_name_stands_twice_is_rejected_alone(served: Served) -> None:
    twice = '{"id": "a", "text": "x", "text": "y"}, {"id": "b", "text": "x", "metadata": {"c": [{"d": 1, "d": 2}]}}'
    body = f'{{"documents": [{{"id": "one", "text": "Cats."}}, {twice}], "dry_run": true}}'
    told = served.http.post("/v1/documents", content=body, headers=JSON).raise_for_status().json()
    assert (told["added"], told["rejected"]) == (1, 2)
    assert [(one["document_id"], one["reason"]) for one in told["rejections"]] == [
        (None, "text stands twice in one object; send it once"),
        ("b", "metadata.c[0].d stands twice in one object; send it once"),
    ]


def test_pairs_that_are_whole_are_text(served: Served) -> None:
    whole = json.dumps({"query": "x", "documents": ["caf\U0001f600 \\ud83d"]})
    assert "\\ud83d\\ude00" in whole
    told = served.http.post("/v1/rerank", content=whole, headers=JSON).raise_for_status().json()
    assert told["results"][0]["document"]["text"] == "caf\U0001f600 \\ud83d"
    assert served.http.post("/v1/search", content=b'\xef\xbb\xbf{"query": "x"}', headers=JSON).status_code == 200


FAULTS: dict[str, tuple[Any, str]] = {
    "no text": ({"id": "a", "text": ""}, "text"),
    "white text": ({"id": "a", "text": " "}, "has no text"),
    "an id that is too long": ({"id": "a" * 10_001, "text": "x"}, "id: String should have at most"),
    "no id": ({"text": "x"}, "id: Field required"),
    "an empty id": ({"id": "", "text": "x"}, "id: String"),
    "an id that is a number": ({"id": 5, "text": "x"}, "id: Input should be a valid string"),
    "metadata that is a list": ({"id": "a", "text": "x", "metadata": []}, "metadata: Input should be an object"),
    "a number beyond 64 bits": ({"id": "a", "text": "x", "metadata": {"a": 2**64}}, "beyond 64 bits"),
    "NaN": ({"id": "a", "text": "x", "metadata": {"a": float("nan")}}, "nan"),
    "a title that is null": ({"id": "a", "text": "x", "title": None}, "title: Input should be a valid string"),
    "a field that there is not": ({"id": "a", "text": "x", "metdata": {}}, "metdata: Extra inputs are not permitted"),
    "a long name of a field": ({"id": "a", "text": "x", "m" * 100_000: 1}, "m: Extra inputs are not permitted"),
    "half of a surrogate pair": ({"id": "a", "text": HALF}, "half of a surrogate pair"),
    "the same in the id": ({"id": HALF, "text": "x"}, "half of a surrogate pair"),
    "the same in a name": ({"id": "a", "text": "x", "metadata": {HALF: 1}}, "keys must be strings that UTF-8 can store"),
    "a time that is text": ({"id": "a", "text": "x", "modified": "2020"}, "modified: Input should be a valid number"),
    "a time that is true": ({"id": "a", "text": "x", "modified": True}, "modified: Input should be a valid number"),
    "no object": ("a", "document: Input should be"),
    "null": (None, "document: Input should be"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_document_with_a_fault_is_rejected_alone(name: str, served: Served) -> None:
    wrong, reason = FAULTS[name]
    body = {"documents": [{"id": "one", "text": "Cats."}, wrong, {"id": "two", "text": "Dogs."}], "dry_run": True}
    answer = served.http.post("/v1/documents", content=json.dumps(body), headers=JSON)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["added"], told["rejected"]) == (2, 1)
    assert told["rejections"][0]["source"] == "documents[1]"
    assert reason in told["rejections"][0]["reason"]
    assert len(answer.text) < 2_000


def test_parameters_in_an_address_that_there_are_not_are_refused(served: Served) -> None:
    """Else a document of the wrong collection would be given."""
    assert served.http.get("/v1/documents/birds", params={"collection": "documents"}).status_code == 200
    answer = served.http.get("/v1/documents/birds", params={"collecton": "other"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (422, "InvalidRequest")
    assert "there is no parameter 'collecton' in this address; there are collection" in answer.text
    answer = served.http.post("/v1/search", params={"limit": 1}, json={"query": "x"})
    assert (answer.status_code, "there is no parameter 'limit'" in answer.text) == (422, True)
    assert served.http.post("/v1/rerank?api-version=2", json={"query": "x", "documents": ["a"]}).status_code == 200


def test_values_are_counted_before_anything_is_made_of_them(served: Served) -> None:
    before = resident(served)
    for body in (
        '{"query": "x", "filter": {"must": [' + "{}," * 3_000_000 + "{}]}}",
        '{"query": "x", "filter": {"must": [' + '"",' * 2_500_000 + '""]}}',
        '{"documents": [{"id": "a", "text": "x", "metadata": {"a": [' + "1," * 4_500_000 + "1]}}]}",
    ):
        path = "/v1/documents" if "documents" in body else "/v1/search"
        answer = served.http.post(path, content=body, headers=JSON)
        assert (answer.status_code, answer.json()["error"]["type"]) == (422, "InvalidRequest")
        assert "more than 200,000 values" in answer.text
    assert resident(served) < before + 150_000_000
    marks = json.dumps({"query": "x", "texts": ['{"a": [1, 2, "\\\\"]}, ' * 15_000] * 10})  # which stand in strings
    assert served.http.post("/rerank", content=marks, headers=JSON).status_code == 200


def test_texts_far_beyond_the_window_take_no_time(served: Served) -> None:
    """The tokenizer took 25 s and 600 MB for these, and nobody else was answered."""
    before = resident(served)
    for text in ("[SEP]" * 150_000, "a" * 750_000, "word " * 150_000):
        began = time.perf_counter()
        answer = retried(served, "/rerank", {"query": text[:90_000], "texts": [text] * 3})
        assert (answer.headers["x-truncated-texts"], answer.headers["x-truncated-queries"]) == ("3", "1")
        assert time.perf_counter() - began < 15
    assert resident(served) < before + 200_000_000
    told = retried(served, "/v1/search", {"query": "word " * 20_000}).json()
    no_words = "no passage has a word of the query; passages were found by their vectors alone"
    read = "the embedder read 254 tokens and the reranker read 94 tokens, of its beginning and its end"
    assert told["warnings"][:2] == [
        no_words,
        f"the query has 100,000 characters; {read}",
    ]


def test_texts_far_beyond_the_window_keep_no_small_request_waiting(settings: Settings) -> None:
    """One waits for a turn of the large request, which takes as long as turns should, or as one text that just fills the window.

    In seconds of this process, which serves: how long they take on the clock is a matter of what else the machine does.
    """

    def asked(http: httpx.Client, text: str) -> float:
        began = time.process_time()
        http.post("/rerank", json={"query": "x", "texts": [text]}).raise_for_status()
        return time.process_time() - began

    with serving(settings, queue_s=30) as own, httpx.Client(base_url=own.url, timeout=60) as other:
        alone, turn = (statistics.median(asked(own.http, text) for _ in range(5)) for text in ("Cats sleep.", "word " * 600))
        with ThreadPoolExecutor(1) as pool:
            large = pool.submit(own.http.post, "/rerank", json={"query": "x", "texts": ["[SEP]" * 30_000] * 40})
            took = []
            while not large.done():
                took.append(asked(other, "Cats sleep."))
        answer = large.result().raise_for_status()
    assert answer.headers["x-truncated-texts"] == "40"
    waited = statistics.median(took)
    print(f"{len(took)} small requests beside it, {waited:.3f} s of work each; alone {alone:.3f} s, one full text {turn:.3f} s")
    assert len(took) > 4
    assert waited < alone + 3 * max(turn, _PART_S)


def retried(served: Served, path: str, body: Any) -> httpx.Response:
    """What is answered as soon as there is room: a machine under load learns first how long things take."""
    for _ in range(20):
        answer = served.http.post(path, json=body)
        if answer.status_code != 429:
            return answer.raise_for_status()
        time.sleep(1)
    return answer


def test_parts_of_a_request_are_of_like_length() -> None:
    short, long = "a" * 100, "b" * 100_000
    assert [len(part) for part in _in_parts([short] * 10, 4)] == [4, 4, 2]
    assert [len(part) for part in _in_parts([long] * 3, 4)] == [1, 1, 1]
    assert list(_in_parts([short, long, short, short], 6)) == [[short, long], [short, short]]
    assert list(_in_parts([short, long], sys.maxsize)) == [[short, long]]


def test_large_bodies_leave_the_service_answering(served: Served) -> None:
    """Bodies that took seconds of the event loop each."""
    bodies = {
        "/v1/search": '{"query": "x", "filter": {"must": [' + "{}," * 3_000_000 + "{}]}}",
        "/v1/documents": '{"documents": [{"id": "a", "text": "x", "metadata": {"a": [' + "{}," * 3_000_000 + "{}]}}]}",
        "/v1/documents/count": '{"filter": {"must": [' + '{"key":"a"},' * 60_000 + "{}]}}",
    }
    stop = threading.Event()

    def send(path: str, body: str) -> None:
        with httpx.Client(base_url=served.url, timeout=60) as http:
            while not stop.is_set():
                http.post(path, content=body, headers=JSON)

    threads = [threading.Thread(target=send, args=one) for one in bodies.items()]
    for thread in threads:
        thread.start()
    took = []
    try:
        for _ in range(60):
            began = time.perf_counter()
            served.http.get("/readyz").raise_for_status()
            took.append(time.perf_counter() - began)
            time.sleep(0.02)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    p95 = statistics.quantiles(took, n=20)[-1]
    print(f"readyz: median {statistics.median(took):.3f} s, p95 {p95:.3f} s, longest {max(took):.3f} s")
    assert p95 < 1


def test_where_json_ends_is_told(served: Served) -> None:
    answer = served.http.post("/v1/search", content='{"query": "x"', headers=JSON)
    assert answer.status_code == 422
    assert answer.json()["error"]["message"] == "the body is no JSON: Expecting ',' delimiter at character 14"


BROKEN = {
    "bytes that are no UTF-8": (b"\xff\xfe", "the body is no UTF-8 at byte 1; send JSON in UTF-8"),
    "Latin-1": ('{"query": "café", "texts": ["a"]}'.encode("latin-1"), "the body is no UTF-8 at byte 15; send JSON in UTF-8"),
    "gzip": (gzip.compress(b'{"query": "x"}'), "the body is no UTF-8 at byte 2; send JSON in UTF-8"),
    "nested brackets": (b'{"query": ' + b"[" * 990 + b"]" * 990 + b"}", ""),
    "more nested brackets": (b"[" * 100_000 + b"]" * 100_000, "the body is nested too deeply; flatten it"),
    "a long number": (
        b'{"query": "x", "limit": ' + b"1" * 5_000 + b"}",
        "the body holds a whole number that is too long; send it as text",
    ),
    "no JSON": (b"{", "the body is no JSON: "),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_body_that_cannot_be_read_is_refused_like_any_that_is_wrong(name: str, served: Served) -> None:
    content, message = BROKEN[name]
    for path in ("/v1/search", "/v1/documents", "/rerank", "/v2/rerank", "/score"):
        for sent in (content, content + b" " * 70_000):
            answer = served.http.post(path, content=sent, headers=JSON)
            assert answer.status_code == 422, (path, answer.text)
            assert message in answer.text, (path, answer.text)
            told = answer.json()
            assert told.get("error_type", "Validation") == "Validation"
            assert path == "/rerank" or told["error"]["type"] == "InvalidRequest"


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip"])
def test_a_body_that_is_encoded_is_refused_before_it_is_read(coding: str, served: Served) -> None:
    plain = b'{"query": "cats", "documents": ["a"], "texts": ["b"]}'
    for path in ("/v1/search", "/rerank", "/v1/rerank"):
        for content in (plain, gzip.compress(plain)):
            answer = served.http.post(path, content=content, headers={**JSON, "Content-Encoding": coding})
            assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "identity"), answer.text
            assert "send the body as it is, without Content-Encoding" in answer.text
    assert served.http.post("/v1/search", json={"query": "x"}, headers={"Content-Encoding": "Identity"}).status_code == 200


def test_a_parameter_that_stands_twice_in_an_address_is_refused(served: Served) -> None:
    """As a name that stands twice in a body is."""
    answer = served.http.get("/v1/documents/birds?collection=documents&collection=other")
    assert (answer.status_code, answer.json()["error"]["type"]) == (422, "InvalidRequest")
    assert "collection stands twice in this address; send it once" in answer.text
    assert served.http.get("/v1/documents/birds?collection=documents").status_code == 200


PLAINLY: list[tuple[str, str, Any, str]] = [
    ("POST", "/rerank", {"query": "x", "documents": [{"n": 1}]}, "documents.0.text: Field required"),
    ("POST", "/v1/rerank", {"query": "x", "documents": ["a", 1]}, "documents.1: Input should be a valid string"),
    ("POST", "/v1/rerank", {"query": "x", "documents": [{"text": 1}]}, "documents.0.text: Input should be a valid string"),
    ("POST", "/v1/rerank", {"query": "x", "documents": [{"text": "a", "image": "b"}]}, "documents.0: image cannot be judged"),
    ("POST", "/score", {"text_1": 1, "text_2": ["a"]}, "text_1: Input should be a valid string"),
    ("POST", "/score", {"text_1": "a", "text_2": ["a", 1]}, "text_2.1: Input should be a valid string"),
    (
        "POST",
        "/rerank",
        {"query": "x", "texts": ["a"], "truncation_direction": "Left"},
        "truncation_direction: Input should be 'right'",
    ),
    ("POST", "/rerank", [], "body: Input should be an object"),
    ("POST", "/v1/search", [1], "body: Input should be an object"),
    ("POST", "/v1/search/batch", {"searches": [1]}, "searches.0: Input should be an object"),
    ("POST", "/v1/search", {"query": "x", "collection": "a/b"}, "collection: no collection is called so: a name has 1 to 255"),
    ("GET", "/v1/collections/a%5Cb", None, "name: no collection is called so: a name has 1 to 255"),
    ("GET", "/v1/documents/a?collection=..", None, "collection: no collection is called so: a name has 1 to 255"),
    ("POST", "/v1/collections/aliases", {"alias": "a\n", "collection": "b"}, "alias: no collection is called so"),
]


@pytest.mark.parametrize(("method", "path", "body", "message"), PLAINLY, ids=[f"{one[1]} {one[3][:30]}" for one in PLAINLY])
def test_what_is_wrong_is_said_in_words_of_the_request(method: str, path: str, body: Any, message: str, served: Served) -> None:
    content = None if body is None else json.dumps(body)
    answer = served.http.request(method, path, content=content, headers=JSON if content else {})
    assert answer.status_code == 422, answer.text
    told = answer.json()
    text = told["error"] if isinstance(told["error"], str) else told["error"]["message"]
    assert text.startswith(message), text
    for internal in ("function-", "[_", "TextObject", "Request", "str:", "list[", "Value error", "pattern", "x00", "dictionary"):
        assert internal not in text, text
