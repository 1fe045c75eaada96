"""Which files does an ONNX graph keep its weights in? Read from its protobuf alone: tensors are passed over, not loaded.

Field numbers are those of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

import os
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from search.errors import ModelCorrupt, ModelIncomplete
from search.models.files import is_there, opened

# For each kind of message, which of its fields lead to tensors, and of which kind they are.
_FIELDS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
# Those that a message has one of. Protobuf would merge several; what each of them says would then not be all.
_SINGLE = {("attribute", 5), ("attribute", 22), ("sparse", 1), ("sparse", 2)}
_KEY, _VALUE = 1, 2  # of an entry
_DATA_LOCATION, _EXTERNAL = 14, 1  # of a tensor
_VARINT, _FIXED64, _DELIMITED, _FIXED32 = 0, 1, 2, 5
_DEEPEST = 100  # messages in one another, as protobuf itself has it
_MOST_FIELDS = 5_000_000  # some hundred times what the largest graphs have
_LONGEST = 4096  # bytes of a path
_VARINT_BITS = 70


def external_data(graph: Path, *, links_out: bool = True) -> list[Path]:
    """The files beside a graph that hold weights of it, in the order of their names.

    Args:
        graph: the ONNX file.
        links_out: whether links may lead to files outside of the graph's folder, as in a cache of downloads. Files beside the one
            that the graph itself is a link to are always inside, as ONNX Runtime has it.

    Raises:
        ModelCorrupt: it is no whole ONNX file.
        ModelIncomplete: one of the files is missing, no regular file, or outside of the folder.
    """
    with opened(graph) as stream:
        scan = _Scan(stream, graph)
        scan.message("model", os.fstat(stream.fileno()).st_size, 0)
    files = []
    for location in sorted(scan.locations):
        path = PurePosixPath(location)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            message = f"{graph} names {location!r} for its weights, which leads out of the folder; export the model again"
            raise ModelIncomplete(message)
        file = graph.parent / path
        if not is_there(file):
            message = f"the model folder {graph.parent} lacks {location}, which holds weights of {graph.name}; copy it, too"
            raise ModelIncomplete(message)
        inside = [Path(os.path.realpath(graph.parent)), Path(os.path.realpath(graph)).parent]
        if not links_out and not any(Path(os.path.realpath(file)).is_relative_to(folder) for folder in inside):
            message = f"{file}, which holds weights of {graph.name}, is a link that leads out of the folder; copy the file there"
            raise ModelIncomplete(message)
        with opened(file):
            pass
        files.append(file)
    return files


class _Scan:
    """A walk over the fields of messages. It knows wire types, and of the fields only those that lead to tensors."""

    def __init__(self, stream: BinaryIO, file: Path) -> None:
        self.locations: set[str] = set()
        self._stream = stream
        self._file = file
        self._fields = 0

    def message(self, kind: str, end: int, depth: int) -> None:
        """Walk over a message that ends at a byte of the file."""
        if depth > _DEEPEST:
            raise self._damaged("messages are nested too deeply")
        if depth == 0 and end == 0:
            raise self._damaged("it is empty")
        known = _FIELDS[kind]
        single: set[int] = set()
        places: list[str] = []
        data_location = 0
        while self._stream.tell() < end:
            number, wire = self._tag(end)
            inner = known.get(number)
            if inner is None:
                value = self._skip(wire, end)
                if kind == "tensor" and number == _DATA_LOCATION and wire == _VARINT:
                    data_location = value
                continue
            if wire != _DELIMITED or ((kind, number) in _SINGLE and number in single):
                raise self._damaged("a field is of another type, or stands twice")
            single.add(number)
            stop = self._end(end)
            if inner == "entry":
                places += self._location(stop)
            else:
                self.message(inner, stop, depth + 1)
        if data_location == _EXTERNAL:
            self.locations.update(places)

    def _location(self, end: int) -> list[str]:
        """The value of an entry, if its key is `location`."""
        held = {_KEY: b"", _VALUE: b""}
        while self._stream.tell() < end:
            number, wire = self._tag(end)
            if number in held and wire == _DELIMITED:
                stop = self._end(end)
                length = stop - self._stream.tell()
                if length > _LONGEST:
                    raise self._damaged("a path is too long")
                held[number] = self._stream.read(length)
            else:
                self._skip(wire, end)
        if held[_KEY] != b"location":
            return []
        try:
            location = held[_VALUE].decode("utf-8")
        except UnicodeDecodeError as error:
            raise self._damaged("a path is no text") from error
        if "\0" in location:
            raise self._damaged("a path has a zero byte")
        return [location]

    def _tag(self, end: int) -> tuple[int, int]:
        self._fields += 1
        if self._fields > _MOST_FIELDS:
            raise self._damaged(f"it has more than {_MOST_FIELDS:,} fields")
        tag = self._varint(end)
        if tag >> 3 == 0 or tag >> 32:
            raise self._damaged("a field has no number")
        return tag >> 3, tag & 7

    def _skip(self, wire: int, end: int) -> int:
        """Pass over a value; its own, where it is a plain number."""
        if wire == _VARINT:
            return self._varint(end)
        if wire == _DELIMITED:
            self._stream.seek(self._end(end))
            return 0
        if wire not in {_FIXED64, _FIXED32}:
            raise self._damaged(f"a field has the wire type {wire}")
        after = self._stream.tell() + (8 if wire == _FIXED64 else 4)
        if after > end:
            raise self._damaged("it ends within a field")
        self._stream.seek(after)
        return 0

    def _end(self, outer: int) -> int:
        """Where the value that now begins ends, after its length was read."""
        length = self._varint(outer)
        end = self._stream.tell() + length
        if end > outer:
            raise self._damaged("a field is longer than what it stands in")
        return end

    def _varint(self, end: int) -> int:
        value = shift = 0
        while True:
            byte = self._stream.read(1)
            if not byte or self._stream.tell() > end or shift >= _VARINT_BITS:
                raise self._damaged("it ends within a number, or the number has no end")
            value |= (byte[0] & 0x7F) << shift
            if byte[0] < 0x80:  # noqa: PLR2004  # the bit that says that more bytes follow
                return value & ((1 << 64) - 1)
            shift += 7

    def _damaged(self, what: str) -> ModelCorrupt:
        return ModelCorrupt(f"{self._file} is damaged, or no ONNX graph: {what}; copy the model again")
