"""What a model folder holds is somebody else's: its fingerprint sees all of it, and nothing outside of it is read."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tiny import BUNDLED, HUB_CROSS_ENCODER, HUB_EMBEDDER, SHAPE, tiny_model, tiny_weights

from search.embedding.dense import FastEmbedEmbedder
from search.errors import ModelCorrupt, ModelIncomplete, ModelNotFound
from search.export.bert import build_bert
from search.export.graph import GraphBuilder
from search.export.precision import Precision
from search.models import fingerprint, locate
from search.models.external_data import external_data
from search.reranking.cross_encoder import CrossEncoder
from search.reranking.language_model import LanguageModel


def folder_with_data(folder: Path, name: str, *, seed: int = 7) -> Path:
    """An embedder whose large weights lie in a file of this name."""
    tiny_model(folder, "encoder")
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as weights:
        model = build_bert(tiny_weights(seed), SHAPE, "encoder", GraphBuilder(Precision(), weights))
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = name
    (folder / "model.onnx").write_bytes(model.SerializeToString(deterministic=True))
    return folder


def relocated(folder: Path, location: str) -> Path:
    """The same graph, but its weights are said to lie elsewhere."""
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder


def as_it_was(folder: Path, graph: str) -> str:
    """The fingerprint by the rule of the first releases, which stored collections hold."""
    hashed = [folder / graph, *sorted(file for file in (folder / graph).parent.iterdir() if file.suffix in {".onnx_data", ".data"})]
    settings = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "config.json", "recipe.json")
    hashed += [folder / name for name in (*settings, "1_Pooling/config.json") if (folder / name).is_file()]
    digests = "".join(hashlib.sha256(file.read_bytes()).hexdigest() for file in hashed)
    return hashlib.sha256(digests.encode()).hexdigest()[:16]


@pytest.mark.parametrize("name", ["weights.bin", "model.onnx.data", "model.weights", "parts/weights.bin", "weights"])
def test_the_fingerprint_sees_weights_by_any_name(name: str, tmp_path: Path) -> None:
    first, other = folder_with_data(tmp_path / "first", name), folder_with_data(tmp_path / "other", name, seed=8)
    shutil.copy(first / "model.onnx", other / "model.onnx")  # the small weights in it as well: only the file differs
    assert (first / name).read_bytes() != (other / name).read_bytes()
    one, two = (FastEmbedEmbedder(str(folder), device="cpu", cache=tmp_path) for folder in (first, other))
    assert one.embed_query("cat") != pytest.approx(two.embed_query("cat"), abs=1e-3)
    assert one.fingerprint.partition("@")[2] != two.fingerprint.partition("@")[2]


@pytest.mark.parametrize(("name", "load"), [(HUB_EMBEDDER[0], FastEmbedEmbedder), (HUB_CROSS_ENCODER[0], CrossEncoder)])
def test_what_is_no_model_does_not_stand_for_one_of_fastembeds(
    name: str, load: Any, hub_cache: Path, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path(name)
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("on this model")
    assert load(name, device="cpu", cache=hub_cache).name == name
    with pytest.raises(ModelIncomplete, match="lacks an ONNX file"):  # as it is written, it is a path
        load(f"./{name}", device="cpu", cache=hub_cache)
    shutil.rmtree(folder)
    folder.write_text("a file")
    assert load(name, device="cpu", cache=hub_cache).name == name
    with pytest.raises(ModelNotFound, match="is not a folder"):
        load(f"./{name}", device="cpu", cache=hub_cache)
    folder.unlink()
    shutil.copytree(model_folder / ("cross-encoder" if load is CrossEncoder else "embedder-mean"), folder)
    assert load(name, device="cpu", cache=hub_cache).name == folder.name
    (folder / "model.onnx").unlink()
    with pytest.raises(ModelIncomplete, match="lacks an ONNX file"):
        load(name, device="cpu", cache=hub_cache)


@pytest.mark.parametrize("load", [FastEmbedEmbedder, CrossEncoder])
def test_a_folder_that_holds_no_model_and_has_no_name_of_one(
    load: Any, hub_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine").mkdir()
    with pytest.raises(ModelNotFound, match=r"is called 'mine'.*and what stands there under this name holds no model"):
        load("mine", device="cpu", cache=hub_cache)
    with pytest.raises(ModelNotFound, match="mine is no folder with a model; write one with `search export MODEL mine`"):
        LanguageModel("mine", device="cpu")


def test_the_fingerprints_of_stored_collections_stay(tmp_path: Path) -> None:
    known = {"all-MiniLM-L6-v2": "77fc0a2629f8c6c4", "minilm-reranker": "eff63dc7ef1662fa"}  # as released
    for name, digest in known.items():
        model = locate(name)
        assert model is not None
        assert model.fingerprint == digest == as_it_was(BUNDLED / name, model.graph)
    folders = [tiny_model(tmp_path / "whole", "encoder")]
    folders += [folder_with_data(tmp_path / f"data-{n}", name) for n, name in enumerate(("model.onnx.data", "model.onnx_data"))]
    (folders[0] / "stale.data").write_bytes(b"of an earlier export")
    for folder in folders:
        found = locate(str(folder))
        assert found is not None
        assert found.fingerprint == as_it_was(folder, "model.onnx") == fingerprint(folder, "model.onnx")


@pytest.mark.parametrize(
    "location",
    ["../weights.bin", "parts/../../weights.bin", "parts/../weights.bin", "/etc/hostname", "", ".", "*/_ORT_MEM_ADDR_/*", "a\0b"],
)
def test_weights_outside_of_the_folder_are_refused(location: str, tmp_path: Path) -> None:
    folder = relocated(folder_with_data(tmp_path / "model", "weights.bin"), location)
    shutil.copy(folder / "weights.bin", tmp_path)
    (folder / "parts").mkdir()
    with pytest.raises((ModelIncomplete, ModelCorrupt), match=r"model\.onnx"):
        FastEmbedEmbedder(str(folder), device="cpu", cache=tmp_path)


def test_weights_that_are_missing_no_file_or_a_link_out(tmp_path: Path) -> None:
    folder = folder_with_data(tmp_path / "model", "weights.bin")
    (folder / "weights.bin").rename(tmp_path / "elsewhere.bin")
    with pytest.raises(ModelIncomplete, match=r"lacks weights\.bin.*copy it"):
        locate(str(folder))
    (folder / "weights.bin").symlink_to(tmp_path / "elsewhere.bin")
    with pytest.raises(ModelIncomplete, match=r"weights\.bin.*leads out of the folder"):
        locate(str(folder))
    (folder / "weights.bin").unlink()
    os.mkfifo(folder / "weights.bin")
    with pytest.raises(ModelIncomplete, match=r"weights\.bin.* is a named pipe and no regular file"):
        locate(str(folder))


def test_a_snapshot_of_the_hub_is_made_of_links(tmp_path: Path) -> None:
    """As huggingface_hub lays it out: the graph and its weights lead to the blobs beside it. Names give the same fingerprint."""
    folder = folder_with_data(tmp_path / "model", "model.onnx_data")
    snapshot, blobs = tmp_path / "models--a--b" / "snapshots" / "0", tmp_path / "models--a--b" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for file in folder.rglob("*"):
        if file.is_file():
            blob = blobs / hashlib.sha256(str(file).encode()).hexdigest()
            shutil.copy(file, blob)
            link = snapshot / file.relative_to(folder)
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(os.path.relpath(blob, link.parent))
    here = FastEmbedEmbedder(str(snapshot), device="cpu", cache=tmp_path)
    assert here.fingerprint.partition("@")[2] == fingerprint(snapshot, "model.onnx") == as_it_was(folder, "model.onnx")


def external(name: str, location: str) -> TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="offset", value="0")
    tensor.external_data.add(key="location", value=location)
    return tensor


def inner_graph(name: str, location: str) -> onnx.GraphProto:
    return helper.make_graph([], name, [], [], [external(name, location)])


def everywhere() -> onnx.ModelProto:
    """Every place in a model where a tensor can stand, each with a location of its own."""
    node = helper.make_node("Op", [], ["y"], name="n")
    node.attribute.add(name="t", type=onnx.AttributeProto.TENSOR).t.CopyFrom(external("t", "attribute"))
    node.attribute.add(name="ts", type=onnx.AttributeProto.TENSORS).tensors.extend([external("a", "tensors1"), external("b", "é2")])
    node.attribute.add(name="g", type=onnx.AttributeProto.GRAPH).g.CopyFrom(inner_graph("g", "subgraph"))
    node.attribute.add(name="gs", type=onnx.AttributeProto.GRAPHS).graphs.append(inner_graph("gs", "subgraphs"))
    sparse = onnx.SparseTensorProto(values=external("v", "values"), indices=external("i", "indices"), dims=[3])
    node.attribute.add(name="s", type=onnx.AttributeProto.SPARSE_TENSOR).sparse_tensor.CopyFrom(sparse)
    other = onnx.SparseTensorProto(values=external("v", "values2"), dims=[3])
    node.attribute.add(name="ss", type=onnx.AttributeProto.SPARSE_TENSORS).sparse_tensors.append(other)
    graph = helper.make_graph([node], "main", [], [], [external("w", "initializer"), numpy_helper.from_array(np.ones(3), "inside")])
    graph.sparse_initializer.append(onnx.SparseTensorProto(values=external("v", "sparse"), dims=[3]))
    called = helper.make_node("Op", [], ["y"], name="f")
    called.attribute.add(name="t", type=onnx.AttributeProto.TENSOR).t.CopyFrom(external("t", "function"))
    function = helper.make_function("d", "F", [], ["y"], [called], [helper.make_opsetid("", 18)])
    function.attribute_proto.add(name="t", type=onnx.AttributeProto.TENSOR).t.CopyFrom(external("t", "default"))
    model = helper.make_model(graph, functions=[function])
    model.training_info.add().initialization.CopyFrom(inner_graph("i", "initialization"))
    model.training_info[0].algorithm.CopyFrom(inner_graph("a", "algorithm"))
    return model


def test_locations_are_found_wherever_a_tensor_can_stand(tmp_path: Path) -> None:
    model = everywhere()
    wanted = set(re.findall(r'"location"\s*value: "([^"]+)"', str(model).replace("\\303\\251", "é")))
    assert len(wanted) == 14
    for location in wanted:
        (tmp_path / location).write_text("weights")
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    assert {file.name for file in external_data(tmp_path / "model.onnx")} == wanted


def test_what_the_scanner_finds_is_what_onnx_finds(tmp_path: Path) -> None:
    """By a walk over the fields that protobuf itself knows, so that a field which a later version adds fails here."""
    rng = np.random.default_rng(3)

    def tensors(message: Any) -> list[Any]:
        inner = []
        for field, value in message.ListFields():
            if field.message_type is not None:
                for one in value if field.is_repeated else [value]:
                    inner += tensors(one)
        return inner + ([message] if message.DESCRIPTOR.name == "TensorProto" else [])

    for round_ in range(30):
        model = everywhere()
        for tensor in tensors(model):
            if rng.random() < 0.4:
                tensor.ClearField("external_data")
                tensor.data_location = TensorProto.DEFAULT
            elif rng.random() < 0.3:
                tensor.data_location = TensorProto.DEFAULT  # what is left over is not read
        wanted = {
            entry.value
            for tensor in tensors(model)
            if tensor.data_location == TensorProto.EXTERNAL
            for entry in tensor.external_data
            if entry.key == "location"
        }
        folder = tmp_path / str(round_)
        folder.mkdir()
        for location in wanted:
            (folder / location).write_text("weights")
        (folder / "model.onnx").write_bytes(model.SerializeToString())
        assert {file.name for file in external_data(folder / "model.onnx")} == wanted


def tagged(number: int, content: bytes) -> bytes:
    """A length-delimited field."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def nested(depth: int) -> bytes:
    content = b""
    for _ in range(depth):
        content = tagged(1, tagged(5, tagged(6, content)))  # a graph's node's attribute's graph
    return tagged(7, content)


LOCATION = tagged(13, tagged(1, b"location") + tagged(2, b"weights.bin"))
EXTERNAL = varint(14 << 3) + varint(1)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00garbage" * 100,
        tagged(7, tagged(5, b"x" * 40))[:-20],
        varint(7 << 3 | 2) + varint(1 << 62),
        b"\xff" * 400,
        varint(7 << 3 | 3),
        varint(7 << 3 | 2) + b"\x80" * 11,
        nested(2_000),
        tagged(7, tagged(1, tagged(5, tagged(5, LOCATION) + tagged(5, EXTERNAL)))),  # merged by protobuf into one tensor
        tagged(7, tagged(15, tagged(1, LOCATION) + tagged(1, EXTERNAL))),
        tagged(7, tagged(5, tagged(13, tagged(1, b"location") + tagged(2, b"\xff\xfe")) + EXTERNAL)),
        tagged(7, varint(5 << 3) + varint(1)),
    ],
    ids=["empty", "garbage", "cut", "long", "ones", "group", "varint", "deep", "merged", "merged sparse", "no text", "type"],
)
def test_files_that_are_no_graph_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    (tmp_path / "weights.bin").touch()
    with pytest.raises(ModelCorrupt, match=r"model\.onnx is damaged"):
        external_data(tmp_path / "model.onnx")


def test_a_graph_of_gigabytes_is_passed_over_not_read(tmp_path: Path, in_full: bool) -> None:  # noqa: FBT001  # a fixture
    """A sparse file with a tensor of 20 GB in it, whose external data stands behind it; and one of nothing but fields."""
    size = 20 << 30
    end = tagged(5, LOCATION + EXTERNAL)
    raw = varint(9 << 3 | 2) + varint(size)
    tensor = varint(5 << 3 | 2) + varint(len(raw) + size) + raw
    head = varint(7 << 3 | 2) + varint(len(tensor) + size + len(end)) + tensor
    (tmp_path / "weights.bin").touch()
    with (tmp_path / "model.onnx").open("wb") as file:
        file.write(head)
        try:
            file.seek(size, os.SEEK_CUR)
            file.write(end)
        except OSError:
            pytest.skip("this file system has no files with holes of this size")
    (tmp_path / "many.onnx").write_bytes(b"\x08\x01" * 40_000_000)
    most = "5_000_000" if in_full else "500_000"
    script = (
        "import resource, sys, time; from pathlib import Path; from search.models.external_data import external_data\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30)); started = time.monotonic()\n"
        "from search.errors import ModelCorrupt\n"
        "sys.modules['search.models.external_data']._MOST_FIELDS = int(sys.argv[2])\n"
        "print([file.name for file in external_data(Path(sys.argv[1]) / 'model.onnx')])\n"
        "try:\n    external_data(Path(sys.argv[1]) / 'many.onnx')\n"
        "except ModelCorrupt as error:\n    print('refused' if time.monotonic() - started < 60 else 'late')"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path), most], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["['weights.bin']", "refused"]


def test_the_name_of_a_folder_can_be_printed(tmp_path: Path) -> None:
    """Bytes that are no UTF-8, and control characters, would end what prints or stores the name."""
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9\x1b[2J\n"))
    try:
        tiny_model(folder, "encoder")
    except OSError:
        pytest.skip("this file system has no such names")
    found = locate(str(folder))
    assert found is not None
    assert found.name == "caf??[2J?"
