"""What does the service log? One line for each request and each failure, on stderr: no texts, no queries, no keys."""

import json
import logging
import sys
from datetime import UTC, datetime

from search.system.terminal import clean, clean_lines


class _Json(logging.Formatter):
    """An object a line."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {"time": _time(record), "level": record.levelname.lower(), "logger": record.name, "message": record.getMessage()}
        entry |= getattr(record, "fields", {})
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str).replace("\x7f", "\\u007f")  # which JSON leaves as it is


class _Text(logging.Formatter):
    """For people."""

    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", {})
        more = f" {fields['ms']:g} ms {fields['request_id']}" if fields else ""
        line = clean(f"{_time(record)} {record.levelname.lower()} {record.getMessage()}{more}")
        return f"{line}\n{clean_lines(self.formatException(record.exc_info))}" if record.exc_info else line


def write_logs(*, as_json: bool) -> None:
    """Write the logs of this package, and the server's warnings, to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if as_json else _Text())
    for name, level in (("search", logging.INFO), ("uvicorn", logging.WARNING), ("opentelemetry", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = False


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
