"""Archives are read like folders, and whatever is in them, nothing is written elsewhere, and nothing left behind."""

import bz2
import gc
import gzip
import io
import json
import lzma
import os
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from commands import as_json, search

from search.documents import Document, Rejection
from search.errors import InvalidDocument
from search.reading import Reading, archives
from search.reading.child import Limits

pytestmark = pytest.mark.usefixtures("reader_kept")
WRITTEN = 1_700_000_000
FILES = {"a.md": b"# Birds\n\nThey sing.", "sub/b.txt": b"Whales.", "sub/c.jsonl": b'{"id": "row", "text": "Fish."}\n'}


def zipped(path: Path, files: dict[str, bytes], **options: Any) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, time.localtime(WRITTEN)[:6]), content)
    return path


def tarred(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(content), WRITTEN
            archive.addfile(entry, io.BytesIO(content))
    return path


def reading(path: Path, **options: Any) -> Reading:
    return Reading([str(path)], archives=True, **options)


def documents(items: Reading) -> dict[str, str]:
    return {item.id: item.text for item in items if isinstance(item, Document)}


def reasons(items: Reading) -> list[str]:
    return [str(item) for item in items if isinstance(item, Rejection)]


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where archives are unpacked."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


MAKERS: dict[str, Callable[[Path], Path]] = {
    "zip": lambda folder: zipped(folder / "old.zip", FILES),
    "tar": lambda folder: tarred(folder / "old.tar", FILES),
    "tar.gz": lambda folder: tarred(folder / "old.tar.gz", FILES, "w:gz"),
    "tgz": lambda folder: tarred(folder / "old.tgz", FILES, "w:gz"),
    "tar.bz2": lambda folder: tarred(folder / "old.tar.bz2", FILES, "w:bz2"),
    "tar.xz": lambda folder: tarred(folder / "old.tar.xz", FILES, "w:xz"),
    "zip by another name": lambda folder: zipped(folder / "old.tar", FILES),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_an_archive_is_read_like_a_folder(make: Callable[[Path], Path], tmp_path: Path, temporary: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "plain.txt").write_text("Plain.")
    archive = make(folder)
    items = reading(folder)
    read = [item for item in items if isinstance(item, Document)]
    begin = f"notes/{archive.name}"
    assert {one.id: one.text for one in read} == {
        "notes/plain.txt": "Plain.",
        f"{begin}/a.md": FILES["a.md"].decode(),
        f"{begin}/sub/b.txt": "Whales.",
        "row": "Fish.",
    }
    modified = {one.id: one.modified for one in read}
    assert modified[f"{begin}/a.md"] == modified[f"{begin}/sub/b.txt"] == WRITTEN
    assert len({one.folder for one in read if one.id != "row"}) == 1  # that of notes, wherever it was unpacked
    assert {one.metadata["path"] for one in read if "path" in one.metadata} >= {f"{begin}/a.md", f"{begin}/sub/b.txt"}
    assert [one.name for one in items.extents() or []] == [
        "notes/plain.txt",
        f"{begin}/a.md",
        f"{begin}/sub/b.txt",
        f"{begin}/sub/c.jsonl",
    ]
    assert list(temporary.iterdir())
    del items
    gc.collect()
    assert not list(temporary.iterdir())


def zstd(content: bytes) -> bytes:
    return bytes(pa.compress(content, "zstd", asbytes=True))


COMPRESSIONS = [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress), (".zst", zstd)]


@pytest.mark.parametrize(("suffix", "compress"), COMPRESSIONS)
def test_a_file_that_is_compressed_is_read_by_its_own_name(
    suffix: str, compress: Callable[[bytes], bytes], tmp_path: Path, temporary: Path
) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    contents = {
        "rows.jsonl": b'{"id": "1", "text": "One."}\n{"id": "2", "text": "Two."}\n',
        "old.csv": b"text\nThree.\n",
        "notes.md": b"# Notes\n\nShort.",
        "cat.1": b".TH CAT 1\n.SH NAME\ncat",
        "x.log": b"Started.",
        "x.png": b"\x89PNG\0",
        "y.min.js": b"x",
        "link.1": b".so man1/cat.1\n",
    }
    for name, content in contents.items():
        (folder / f"{name}{suffix}").write_bytes(compress(content))
    os.utime(folder / f"notes.md{suffix}", (WRITTEN, WRITTEN))
    items = Reading(folder)
    found = {item.id: item for item in items if isinstance(item, Document)}
    assert {name.replace(suffix, ""): (item.title, item.text) for name, item in found.items()} == {
        "1": ("", "One."),
        "2": ("", "Two."),
        "notes/old.csv#1": ("", "Three."),
        "notes/notes.md": ("Notes", "# Notes\n\nShort."),
        "notes/cat.1": ("cat(1)", "## NAME\n\ncat\n"),
        "notes/x.log": ("x.log", "Started."),
    }
    notes = found[f"notes/notes.md{suffix}"]
    assert (notes.metadata, notes.modified) == ({"path": f"notes/notes.md{suffix}"}, WRITTEN)
    assert reasons(items) == []
    assert [Path(name).name for name in items.left_out] == [f"{name}{suffix}" for name in ("link.1", "x.png", "y.min.js")]
    assert items.count() == len(items.extents() or ()) + 1 == len(found)
    (alone,) = Reading(folder / f"y.min.js{suffix}")
    assert isinstance(alone, Document)
    assert (alone.id, alone.text) == (f"notes/y.min.js{suffix}", "x")
    with_archives = documents(reading(folder))
    assert {name for name in with_archives if "notes.md" in name} == {f"notes/notes.md{suffix}/notes.md"}
    del items
    gc.collect()
    assert not list(temporary.iterdir())


def test_documents_of_compressed_files_that_stand_there_by_another_id_are_told(tmp_path: Path) -> None:
    (tmp_path / "cats.txt.gz").write_bytes(gzip.compress(b"Cats sleep."))
    (tmp_path / "rows.jsonl.gz").write_bytes(gzip.compress(b'{"id": "1", "text": "Dogs bark."}\n'))
    options = (tmp_path, "--exclude", "temporary", "--exclude", "data", "--data-dir", tmp_path / "data")
    assert as_json("ingest", *options, "--archives")["added"] == 2
    old, new = (f"{tmp_path.name}/cats.txt.gz{inside}" for inside in ("/cats.txt", ""))
    told = f"since what is compressed has another id with --archives: {new} is also {old}; remove one of them (search delete)"
    result = search("ingest", *options)
    assert told in result.stderr
    report = as_json("ingest", *options, "--sync", "--max-delete", "100%")
    assert (report["added"], report["unchanged"], report["removed"]) == (0, 2, 1)


@pytest.mark.parametrize("name", ["a.tar.gz", "a.gz", "a.md.gz"])
def test_an_archive_that_is_called_otherwise_is_refused_by_what_it_is(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    tarred(folder / name, FILES, "w:gz")
    assert reasons(Reading(folder)) == [f"notes/{name}: an archive; unpack it, or read what is in it with --archives"]
    assert len(documents(reading(folder))) == 3


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (gzip.compress(b"Text." * 9)[:-9], "damaged: Compressed file ended before the end-of-stream marker was reached"),
        (zstd(b"Text." * 9)[:-3], "damaged: Truncated compressed stream"),
        (b"Text.", "damaged, or not compressed as its name says; rename it, or leave it out"),
        (b"", "damaged, or not compressed as its name says; rename it, or leave it out"),
        (gzip.compress(bytes(2000)), "holds more than 5,000 bytes, or than the disk has room for; unpack it elsewhere"),
    ],
    ids=["cut", "cut zstd", "text", "empty", "large"],
)
def test_a_compressed_file_that_cannot_be_read_is_one_rejection(
    content: bytes, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.reading.Most", lambda: archives.Most(bytes=5000))
    monkeypatch.setattr("search.reading.archives._BLOCK", 4000)
    for name in ("a.md.gz", "a.jsonl.gz"):
        (tmp_path / name).write_bytes(content)
        (found,) = Reading(tmp_path / name)
        assert isinstance(found, Rejection)
        assert reason in str(found)
        assert found.document_id == (f"{tmp_path.name}/{name}" if name == "a.md.gz" else None)


def test_what_is_not_read_takes_no_room(tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.reading.files.LONGEST", 10_000)
    folder = tmp_path / "notes"
    folder.mkdir()
    whole = {
        "a.md.gz": b"Cats purr.",
        "large.md.gz": b"Cats. " * 2_000,
        "b.png.gz": b"\x89PNG\r\n\x1a\n" + bytes(9),
        "c.gz.gz": b"C",
    }
    for name, content in whole.items():
        (folder / name).write_bytes(gzip.compress(content))
    (folder / "cut.jsonl.gz").write_bytes(gzip.compress(os.urandom(300_000))[:-100])
    items = Reading(folder)
    assert [path.name for path in temporary.rglob("*") if path.is_file()] == ["a.md"]
    assert documents(items) == {"notes/a.md.gz": "Cats purr."}
    assert [name for name in sorted(whole) if any(name in reason for reason in reasons(items))] == ["c.gz.gz", "large.md.gz"]
    assert any("large.md.gz: larger than 10,000 bytes; split it" in reason for reason in reasons(items))


def test_without_being_asked_archives_are_refused_with_the_way_out(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", FILES)
    with pytest.raises(InvalidDocument, match="is an archive; unpack it, or read what is in it with --archives"):
        Reading([str(archive)])
    (tmp_path / "b.7z").write_bytes(b"7z")
    with pytest.raises(InvalidDocument, match=r"is an archive; unpack it$"):
        reading(tmp_path / "b.7z")


def test_nothing_is_written_outside_whatever_names_say(tmp_path: Path, temporary: Path) -> None:
    bad = {
        "../out.txt": b"Out.",
        "/etc/passwd.txt": b"Root.",
        "a/../../b.txt": b"Out, too.",
        "x" * 300: b"Long.",
        "good.txt": b"Good.",
    }
    archive = tarred(tmp_path / "a.tar", bad)
    with tarfile.open(archive, "a") as more:
        for name, kind, target in (
            ("link.txt", tarfile.SYMTYPE, "/etc/passwd"),
            ("hard.txt", tarfile.LNKTYPE, "good.txt"),
            ("fifo.txt", tarfile.FIFOTYPE, ""),
            ("folder.txt", tarfile.DIRTYPE, ""),
        ):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, target
            more.addfile(entry)
    items = reading(archive)
    begin = f"{tmp_path.name}/a.tar"
    long = f"{begin}/{'x' * 300}"
    assert documents(items) == {f"{begin}/good.txt": "Good.", f"{begin}/etc/passwd.txt": "Root."}
    assert sorted(reasons(items)) == sorted(
        [
            f"{begin}/../out.txt: its name leads out of the archive; unpack it",
            f"{begin}/a/../../b.txt: its name leads out of the archive; unpack it",
            f"{long}: cannot be unpacked: File name too long",
            f"{begin}/hard.txt: a hard link; unpack it",
        ]
    )
    assert items.notes == [f"{archive}: left out 1 link, such as 'link.txt'; unpack it to follow links"]
    everything = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert everything == {"a.tar", "good.txt", "passwd.txt"}
    assert not any(path.is_symlink() for path in temporary.rglob("*"))


def test_links_in_a_zip_are_left_out_and_told(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"good.txt": b"Good."})
    with zipfile.ZipFile(archive, "a") as more:
        for name in ("bin/one", "two.txt"):
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o120777 << 16
            more.writestr(entry, "good.txt")
    items = reading(archive)
    assert (list(documents(items).values()), reasons(items)) == (["Good."], [])
    assert items.notes == [f"{archive}: left out 2 links, such as 'bin/one'; unpack it to follow links"]


def test_an_archive_of_links_alone_is_refused_and_told(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        entry = tarfile.TarInfo("link.txt")
        entry.type, entry.linkname = tarfile.SYMTYPE, "good.txt"
        archive.addfile(entry)
    items = reading(tmp_path / "a.tar")
    assert len(reasons(items)) == len(items.notes) == 1


def test_hidden_files_and_ignore_files_mean_what_they_mean_in_folders(tmp_path: Path) -> None:
    files = {
        ".gitignore": b"*.log\n[x\n",
        "a.log": b"Logged.",
        "b.txt": b"Text.",
        ".hidden/c.txt": b"Hidden.",
        "d.png": b"\x89PNG\0",
    }
    items = reading(zipped(tmp_path / "a.zip", files))
    assert list(documents(items).values()) == ["Text."]
    assert items.left_out == [str(tmp_path / "a.zip" / "a.log"), str(tmp_path / "a.zip" / "d.png")]
    assert [note.split(":")[0] for note in items.notes] == [str(tmp_path / "a.zip" / ".gitignore")]


def test_an_archive_in_an_archive_is_not_unpacked(tmp_path: Path) -> None:
    inner = zipped(tmp_path / "inner.zip", {"x.txt": b"X."}).read_bytes()
    items = reading(zipped(tmp_path / "outer.zip", {"inner.zip": inner, "y.txt": b"Y."}))
    assert list(documents(items).values()) == ["Y."]
    assert reasons(items)[0].endswith("inner.zip: an archive; unpack it")


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def flipped(data: bytes) -> bytes:
    at = len(data) // 2
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


MANY = {f"{i}.txt": os.urandom(600).hex().encode() for i in range(30)}


@pytest.mark.parametrize("damage", [cut, flipped], ids=["cut", "flipped"])
@pytest.mark.parametrize("mode", ["zip", "w:gz", "w:bz2", "w:xz"])
def test_a_damaged_archive_gives_nothing_not_a_part(damage: Callable[[bytes], bytes], mode: str, tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", MANY) if mode == "zip" else tarred(tmp_path / "a.tar.gz", MANY, mode)
    archive.write_bytes(damage(archive.read_bytes()))
    items = reading(archive)
    assert documents(items) == {}
    (reason,) = reasons(items)
    assert "a.zip: " in reason or "a.tar.gz: " in reason
    assert "damaged, or no archive" in reason


def test_a_tar_with_a_damaged_header_is_no_shorter_tar(tmp_path: Path) -> None:
    archive = tarred(tmp_path / "a.tar", MANY)
    data = bytearray(archive.read_bytes())
    at = data.index(b"7.txt")
    data[at + 148 : at + 156] = b"00000000"  # the check sum
    archive.write_bytes(data)
    assert documents(reading(archive)) == {}
    assert "damaged, or no archive: bad checksum" in reasons(reading(archive))[0]


@pytest.mark.parametrize("size", [512, 1024, 2048])
def test_a_tar_that_is_cut_in_front_of_a_header_is_no_shorter_tar(size: int, tmp_path: Path) -> None:
    archive = tarred(tmp_path / "a.tar", {"1.md": b"One.", "2.md": b"Two."})
    archive.write_bytes(archive.read_bytes()[:size])
    assert documents(reading(archive)) == {}
    assert "damaged, or no archive" in reasons(reading(archive))[0]


@pytest.mark.parametrize("suffix", ["docx", "zip"])
def test_a_tar_that_ends_with_a_zip_is_a_tar(suffix: str, tmp_path: Path) -> None:
    inner = zipped(tmp_path / "inner", {"inner.md": b"Inside."}).read_bytes()
    items = reading(tarred(tmp_path / "a.tar", {"one.md": b"One.", "two.md": b"Two.", f"z.{suffix}": inner}))
    assert list(documents(items).values()) == ["One.", "Two."]
    assert len(reasons(items)) == 1


def test_a_zip_behind_a_program_is_a_zip(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", FILES)
    archive.write_bytes(b"#!/bin/sh\nexit\n" + archive.read_bytes())
    assert len(documents(reading(archive))) == 3


@pytest.mark.parametrize("modified", ["nan", "inf", "-1", "1e300"])
def test_a_time_that_there_is_not_is_none(modified: str, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        entry = tarfile.TarInfo("a.md")
        entry.size, entry.pax_headers = 5, {"mtime": modified}
        archive.addfile(entry, io.BytesIO(b"Text."))
    (document,) = reading(tmp_path / "a.tar")
    assert isinstance(document, Document)
    assert (document.text, document.modified) == ("Text.", -1 if modified == "-1" else 0)


def test_names_without_end_are_refused_one_by_one(tmp_path: Path) -> None:
    items = reading(
        zipped(tmp_path / "a.zip", {"a/" * 1500 + "x.md": b"Deep.", "b/" * 99 + "y.md": b"Less deep.", "z.md": b"Flat."})
    )
    assert sorted(documents(items).values()) == ["Flat.", "Less deep."]
    assert reasons(items)[0].endswith("it lies in more than 100 folders; unpack it")


def test_folders_and_empty_files_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    many = {"/".join(f"{i}-{depth}" for depth in range(50)) + "/x.md": b"" for i in range(20)}
    archive = zipped(tmp_path / "a.zip", many)
    monkeypatch.setattr("search.reading.Most", lambda: archives.Most(files=1000))
    assert "holds more than 1,000 files and folders" in reasons(reading(archive))[0]
    monkeypatch.setattr("search.reading.Most", lambda: archives.Most(bytes=1_000_000))
    assert "holds more than 1,000,000 bytes" in reasons(reading(archive))[0]


def test_a_table_that_cannot_be_unpacked_may_be_any_documents(tmp_path: Path) -> None:
    """So that a sync removes none of them."""
    archive = tarred(tmp_path / "a.tar", {"a.md": b"Text.", "b.md": b"Text."})
    with tarfile.open(archive, "a") as more:
        for name in ("rows.jsonl", "hard.md"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.LNKTYPE, "a.md"
            more.addfile(entry)
    rows, hard = (item for item in reading(archive) if isinstance(item, Rejection))
    assert rows.document_id is None
    assert hard.document_id == f"{tmp_path.name}/a.tar/hard.md"


def test_a_fork_leaves_what_is_unpacked_to_its_parent(tmp_path: Path, temporary: Path) -> None:
    items = reading(zipped(tmp_path / "a.zip", FILES))
    child = os.fork()
    if not child:
        del items
        gc.collect()
        os._exit(0)
    os.waitpid(child, 0)
    assert len(documents(items)) == 3
    assert list(temporary.iterdir())


def test_what_cannot_be_unpacked_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"secret.txt": b"Secret.", "odd.txt": b"Odd.", "open.txt": b"Open."})
    data = bytearray(archive.read_bytes())
    for name, field, value in ((b"secret.txt", 6, 1), (b"odd.txt", 8, 97)):
        local = data.index(name) - 30
        central = data.index(name, local + 40) - 46
        data[local + field], data[central + field + 2] = value, value
    archive.write_bytes(data)
    items = reading(archive)
    assert list(documents(items).values()) == ["Open."]
    encrypted, odd = reasons(items)
    assert encrypted.endswith("secret.txt: encrypted; unpack it with its password")
    assert "odd.txt: cannot be unpacked: That compression method is not supported" in odd


def test_an_archive_with_nothing_to_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    zipped(tmp_path / "notes" / "a.zip", {"x.png": b"\x89PNG\0"})
    zipped(tmp_path / "notes" / "b.zip", {})
    (tmp_path / "notes" / "c.txt").write_text("Text.")
    items = reading(tmp_path / "notes")
    assert list(documents(items).values()) == ["Text."]
    pictures, empty = reasons(items)
    assert pictures.startswith("notes/a.zip: holds no file with a text in it, only 1 .png;")
    assert empty.startswith("notes/b.zip: holds no file that is not hidden or left out")


@pytest.mark.parametrize(
    ("most", "reason"),
    [
        (archives.Most(bytes=20), "holds more than 20 bytes, or than the disk has room for; unpack it elsewhere"),
        (archives.Most(files=2), "holds more than 2 files and folders; unpack it"),
        (archives.Most(left_free=1 << 60), "or than the disk has room for; unpack it elsewhere"),
    ],
)
def test_how_much_is_unpacked_is_bounded(
    most: archives.Most, reason: str, tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.reading.Most", lambda: most)
    items = reading(zipped(tmp_path / "a.zip", FILES))
    assert documents(items) == {}
    assert reason in reasons(items)[0]
    written = sum(path.stat().st_size for path in temporary.rglob("*") if path.is_file())
    assert written <= min(most.bytes, 100)


def test_an_archive_that_takes_too_much_memory_is_rejected(tmp_path: Path) -> None:
    data = bytearray(lzma.compress(b"Text."))
    data[16] = 40  # a dictionary of four gigabytes, which nothing of the file needs
    data[20:24] = zlib.crc32(data[12:20]).to_bytes(4, "little")
    (tmp_path / "a.txt.xz").write_bytes(data)
    items = reading(tmp_path / "a.txt.xz", limits=Limits(memory_mb=300))
    assert documents(items) == {}
    assert "takes more than 300 MB of memory" in reasons(items)[0]


def test_a_sync_removes_nothing_while_an_archive_is_damaged(tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "plain.txt").write_text("Plain.")
    archive = zipped(folder / "a.zip", {"x.txt": b"Whales sing.", "y.txt": b"Birds sing."})
    options = ("--archives", "--sync", "--max-delete", "100%", "--data-dir", tmp_path / "data")
    assert as_json("ingest", folder, *options)["added"] == 3
    archive.write_bytes(cut(archive.read_bytes()))
    report = as_json("ingest", folder, *options, status=1)
    assert (report["removed"], report["kept"]) == (0, 2)
    zipped(archive, {"x.txt": b"Whales sing."})
    report = as_json("ingest", folder, *options)
    assert (report["removed"], report["unchanged"]) == (1, 2)


def test_rejects_of_an_archive_name_the_archive(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"bad.pdf": b"%PDF-1.4 nothing", "good.txt": b"Good."})
    (rejection,) = [item for item in reading(archive) if isinstance(item, Rejection)]
    line = json.loads(rejection.to_line())
    assert line["file"] == str(archive)
    rejects = tmp_path / "rejects.jsonl"
    rejects.write_text(rejection.to_line())
    (again,) = Reading([str(rejects)], again=True)
    assert "an archive; ingest it with --archives" in str(again)
