"""A model behind a chat endpoint, that says what tests plant, when and how they want it."""

import json
import re
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple, Self


class Answer(NamedTuple):
    """What the next request gets."""

    content: Any = ""
    status: int = 200
    body: bytes | None = None  # instead of a chat completion
    silent: bool = False  # says nothing while the test lasts
    drips: bool = False  # sends an empty line every so often, for seconds, and only then the answer
    drips_headers: bool = False  # the same of the answer's head
    encoding: str = ""  # that the head names; the body is sent as it is given


class Asked(NamedTuple):
    """What a request was."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def passages(self) -> list[str]:
        return re.findall(r"^\[\d+\] (.*)$", self.body["messages"][-1]["content"], re.MULTILINE)


class ChatStandIn:
    """Speaks for a model on a free port of 127.0.0.1; unless an answer is planted, longer passages are better ones."""

    def __init__(self, port: int = 0) -> None:
        self.planted: deque[Answer] = deque()
        self.requests: list[Asked] = []
        self.over = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, asked: Asked) -> Answer:
        self.requests.append(asked)
        if self.planted:
            return self.planted.popleft()
        lengths = [len(passage) for passage in asked.passages]
        return Answer(" > ".join(f"[{i + 1}]" for i in sorted(range(len(lengths)), key=lambda i: -lengths[i])))


class CitingStandIn(ChatStandIn):
    """Answers as the prompt asks: one sentence of each source, with the number that stands in front of its fence."""

    def answer(self, asked: Asked) -> Answer:
        self.requests.append(asked)
        statements: list[str] = []
        lines: list[str] = []
        fence, number = "", ""
        for line in asked.body["messages"][-1]["content"].split("\n"):
            number, opened = line.partition("] ")[::2] if not fence and line.startswith("[") else (number, "")
            if opened:
                fence, lines = opened, []
            elif fence and line == fence:
                statements.append(f"{lines[-1]} {number}].")
                fence = ""
            elif fence:
                lines.append(line)
        return Answer("\n".join(statements))


def _handler(standin: ChatStandIn) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        disable_nagle_algorithm = True  # or every answer waits 40 ms for an acknowledgement
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked = Asked(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            answer = standin.answer(asked) if body.get("model") else Answer(status=400, body=b'{"error": "which model?"}')
            completion = json.dumps({"choices": [{"index": 0, "message": {"role": "assistant", "content": answer.content}}]})
            content = completion.encode() if answer.body is None else answer.body
            if answer.silent:
                standin.over.wait(30)
            try:
                self.send_response(answer.status)
                for number in range(100 * answer.drips_headers):
                    self.send_header(f"X-{number}", "y")
                    self.flush_headers()
                    standin.over.wait(0.03)
                self.send_header("Content-Type", "application/json")
                if answer.encoding:
                    self.send_header("Content-Encoding", answer.encoding)
                self.send_header("Content-Length", str(len(content) + 100 * answer.drips))
                self.end_headers()
                for _ in range(100 * answer.drips):
                    self.wfile.write(b"\n")
                    standin.over.wait(0.03)
                self.wfile.write(content)
            except (BrokenPipeError, ConnectionResetError):
                pass  # the client did not wait, as some tests want it

        def log_message(self, format: str, *args: object) -> None:
            """Keep the tests' output clean."""

    return Handler
