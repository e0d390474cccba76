"""A hostile archive is refused with a sentence, or one member is left out or bad: never a crash, never a file."""

import io
import subprocess
import sys
import tarfile
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ddoq.archive_bounds import LONG_NAME, MAX_MEMBERS
from ddoq.config import DatasetConfig
from ddoq.containers import ENCRYPTED, OTHER_COMPRESSION
from ddoq.datasets import open_dataset
from ddoq.errors import DatasetError, TooManyFilesError
from ddoq.image_rules import BadImage
from ddoq.sources import LINK, SPECIAL_FILE
from tests.hostile_archives import (
    GOOD,
    ODD,
    Part,
    deflated,
    good_parts,
    gz,
    odd_part,
    pax_bomb,
    quoted_overlap,
    set_size,
    tar_kind,
    tar_named,
    tar_of,
    tar_with_header,
    zip64_of,
    zip_named,
    zip_of,
    zip_with,
)
from tests.pictures import access_to, png

MIB = 2**20
BAD_NAME = "files whose names lead out of the dataset or are not plain text"
NO_IMAGE = "files that are no images by their names"
PEAK = """
import sys, resource
from pathlib import Path
from ddoq.containers import open_container
from ddoq.errors import DatasetError, TooManyFilesError
from ddoq.image_rules import UnreadableImageError
from ddoq.sources import Access, open_source
path = Path(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    container = open_container(open_source(path.as_uri(), Access((path.parent,), (), None, path)))
    members = [entry.member for entry in container.entries() if entry.refusal is None]
    with container.opened() as find:
        for member in members:
            find(member)()
except (DatasetError, UnreadableImageError) as error:
    print(error, file=sys.stderr)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def read_all(data, folder):
    """Open an archive and stream it: the dataset, the keys that decode, and the images that do not."""
    (folder / "data").mkdir(exist_ok=True)
    path = folder / "data" / "archive"
    path.write_bytes(data)
    dataset = open_dataset(DatasetConfig(uri=path.as_uri()), access_to(folder / "data"))
    results = [result for split in ("train", "test") for result in dataset.stream(split, 8)]
    bad = [result for result in results if isinstance(result, BadImage)]
    return dataset, [result.key for result in results if result not in bad], bad


def good_keys():
    return sorted(name.split("/", 1)[1] for name in GOOD)


REFUSED = {
    "zip: two names for one header": (
        lambda: zip_with(odd_part(), starts={8: 0}), r"lies on top of another member"),
    "zip: each member quotes the next": (quoted_overlap, r"'train/cat/000001.png' lies on top of another member"),
    "zip: a member reaches into the directory": (
        lambda: zip_with(odd_part(central={"packed": 5000})), r"'train/cat/odd.png' reaches beyond the files"),
    "zip: two members of one name": (lambda: zip_with(odd_part(), odd_part()), r"two files 'train/cat/odd.png'"),
    "zip: claims gigabytes": (lambda: zip_with(odd_part(central={"size": 2**32 - 2})), r"over 200 times"),
    "zip: more members than there is room for": (
        lambda: zip_with(end={"here": 65534, "total": 65534}), r"too short for 65534 members"),
    "zip: fewer members than there are": (
        lambda: zip_with(end={"here": 3, "total": 3}), r"holds more members than it says"),
    "zip: on several disks": (lambda: zip_with(end={"disk": 1}), r"one part of several"),
    "zip: the directory elsewhere": (lambda: zip_with(end={"start": 0}), r"directory is not where it says"),
    "zip: bytes behind its end": (lambda: zip_with() + b"appended", r"bytes were put behind its end"),
    "zip: another zip behind its end": (lambda: zip_with() + zip_with(), r"directory is not where it says"),
    "zip: bytes before it": (lambda: b"#!/bin/sh\n" + zip_with(), r"neither a zip"),
    "zip: lacks the long size that it tells of": (
        lambda: zip_with(odd_part(central={"size": 2**32 - 1})), r"lacks a long size"),
    "zip64: the directory beyond the end": (lambda: zip64_of(good_parts(), start=2**62), r"not where it says"),
    "zip64: the long end record elsewhere": (lambda: zip64_of(good_parts(), at=2**40), r"not where it says"),
    "zip64: an end record of another length": (lambda: zip64_of(good_parts(), length=99), r"contradict each other"),
    "zip64: two end records of two opinions": (lambda: zip64_of(good_parts(), short_size=7), r"contradict each other"),
    "tar: stored with holes": (lambda: tar_kind(tarfile.GNUTYPE_SPARSE), r"'train/cat/odd.png' is stored with holes"),
    "tar: stored with holes, in an extended header": (
        lambda: tar_named(ODD, pax_headers={"GNU.sparse.size": "9"}), r"'train/cat/odd.png' is stored with holes"),
    "tar: a negative size": (lambda: tar_with_header(set_size(b"\xff" * 12)), r"a number in the tar is damaged"),
    "tar: a size of exabytes": (
        lambda: tar_with_header(set_size(b"\x80" + bytes(4) + b"\x40" + bytes(6))), r"breaks off inside"),
    "tar: a size beyond 64 bits": (
        lambda: tar_with_header(set_size(b"\x80" + bytes(3) + b"\x01" + bytes(7))), r"a number in the tar is damaged"),
    "tar: a negative size in an extended header": (
        lambda: tar_named(ODD, pax_headers={"size": "-1"}), r"has the size '-1'"),
    "tar: two members of one name": (lambda: tar_named("train/cat/000.png"), r"two files 'train/cat/000.png'"),
    "tar.gz: bytes behind its end": (lambda: gz(tar_of()) + b"appended", r"the tar.gz breaks off or is damaged"),
    "tar.gz: a size of exabytes": (
        lambda: gz(tar_with_header(set_size(b"\x80" + bytes(4) + b"\x40" + bytes(6)))), r"over 200 times"),
}  # fmt: skip
LEFT_OUT = {
    "zip: up": (lambda: zip_named(b"../../odd.png"), BAD_NAME),
    "zip: up from within": (lambda: zip_named(b"train/cat/../../../odd.png"), BAD_NAME),
    "zip: absolute": (lambda: zip_named(b"/etc/cron.d/odd.png"), BAD_NAME),
    "zip: a drive": (lambda: zip_named(b"C:/train/odd.png"), BAD_NAME),
    "zip: backslashes": (lambda: zip_named(b"train\\cat\\odd.png"), BAD_NAME),
    "zip: NUL": (lambda: zip_named(b"train/cat/odd.png\0.txt.png"), BAD_NAME),
    "zip: a line break": (lambda: zip_named(b"train/cat/odd\n.png"), BAD_NAME),
    "zip: not UTF-8 where it says so": (lambda: zip_named(b"train/cat/\xff.png", flags=0x800), BAD_NAME),
    "zip: a very long name": (lambda: zip_named(b"train/cat/" + b"x" * 60_000 + b".png"), LONG_NAME),
    "zip: a link": (lambda: zip_named(ODD.encode(), mode=0o120777), LINK),
    "zip: a device": (lambda: zip_named(ODD.encode(), mode=0o060666), SPECIAL_FILE),
    "zip: a pipe": (lambda: zip_named(ODD.encode(), mode=0o010666), SPECIAL_FILE),
    "zip: encrypted": (lambda: zip_named(ODD.encode(), flags=1), ENCRYPTED),
    "zip: compressed by LZMA": (lambda: zip_named(ODD.encode(), central={"method": 14}), OTHER_COMPRESSION),
    "zip: another zip": (lambda: zip_with(Part(b"train/cat/inner.zip", zip_with())), NO_IMAGE),
    "tar: up": (lambda: tar_named("../../odd.png"), BAD_NAME),
    "tar: absolute": (lambda: tar_named("/etc/cron.d/odd.png"), BAD_NAME),
    "tar: backslashes": (lambda: tar_named("train\\cat\\odd.png"), BAD_NAME),
    "tar: not UTF-8": (lambda: tar_named("train/cat/\udcff.png"), BAD_NAME),
    "tar: NUL in an extended header": (lambda: tar_named(ODD, pax_headers={"path": "train/cat/x.png\0.png"}), BAD_NAME),
    "tar: a very long name": (lambda: tar_named("train/cat/" + "x" * 60_000 + ".png"), LONG_NAME),
    "tar: a link": (lambda: tar_kind(tarfile.SYMTYPE, linkname="/etc/passwd"), LINK),
    "tar: a hard link": (lambda: tar_kind(tarfile.LNKTYPE, linkname="train/cat/000.png"), LINK),
    "tar: a device": (lambda: tar_kind(tarfile.BLKTYPE), SPECIAL_FILE),
    "tar: a pipe": (lambda: tar_kind(tarfile.FIFOTYPE), SPECIAL_FILE),
    "tar.gz: a link": (lambda: gz(tar_kind(tarfile.SYMTYPE, linkname="/etc/passwd")), LINK),
}
BAD = {
    "zip: another name in its own header": (
        lambda: zip_with(odd_part(local={"name": b"train/dog/odd.png"})), "disagree on what it is"),
    "zip: another method in its own header": (
        lambda: zip_with(odd_part(local={"method": 0})), "disagree on what it is"),
    "zip: another size in its own header": (lambda: zip_with(odd_part(local={"size": 7})), "disagree on its size"),
    "zip: encrypted after all": (lambda: zip_with(odd_part(local={"flags": 1})), "disagree on what it is"),
    "zip: unpacks to more than it says": (
        lambda: zip_with(odd_part(data=bytes(9000), local={"size": 100}, central={"size": 100})),
        "other than the 100 bytes"),
    "zip: unpacks to less than it says": (
        lambda: zip_with(odd_part(local={"size": 9000}, central={"size": 9000})), "other than the 9000 bytes"),
    "zip: much that unpacks to nothing": (
        lambda: zip_with(odd_part(packed=bytes(99_999))), "99999 bytes claim to unpack to"),
    "zip: bytes behind what is unpacked": (
        lambda: zip_with(odd_part(packed=deflated(png(0, 9)) + b"xx")), "ends elsewhere"),
    "zip: no deflate": (lambda: zip_with(odd_part(packed=b"\xff" * 30)), "damaged in the zip"),
    "zip: a wrong sum": (lambda: zip_with(odd_part(local={"crc": 1}, central={"crc": 1})), "CRC is wrong"),
    "zip: an honest bomb": (lambda: zip_with(odd_part(data=bytes(65 * MIB))), "larger than the 64 MiB"),
    "zip: a zip under the name of an image": (lambda: zip_with(odd_part(data=zip_with())), "not an image in a format"),
}  # fmt: skip
READ = {
    "zip: names that differ in case": (
        lambda: zip_with(odd_part(), odd_part(name=b"train/cat/ODD.png")), ["cat/ODD.png", "cat/odd.png"]),
    "zip: names that differ in how é is written": (
        lambda: zip_with(*(odd_part(name=f"train/cat/{e}.png".encode(), flags=0x800) for e in ("\xe9", "e\u0301"))),
        ["cat/e\u0301.png", "cat/\xe9.png"]),
    "zip: a name that is not UTF-8": (lambda: zip_named(b"train/cat/\x82.png"), ["cat/\xe9.png"]),
    "zip: a hundred folders deep": (
        lambda: zip_named(b"train/cat/" + b"d/" * 100 + b"odd.png"), ["cat/" + "d/" * 100 + "odd.png"]),
    "zip64": (lambda: zip64_of([*good_parts(), odd_part()]), ["cat/odd.png"]),
    "tar: a zip behind its end": (lambda: tar_named(ODD) + zip_with(), ["cat/odd.png"]),
    "tar.gz: in two pieces": (lambda: gz(tar_named(ODD)[:3000]) + gz(tar_named(ODD)[3000:]), ["cat/odd.png"]),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_hostile_archive_is_refused_with_a_sentence(case, tmp_path):
    make, sentence = REFUSED[case]
    with pytest.raises(DatasetError, match=sentence) as refused:
        read_all(make(), tmp_path)
    assert str(tmp_path) not in str(refused.value)
    assert refused.value.code != DatasetError.code


def test_a_zip_of_millions_of_members_is_refused_before_they_are_read(tmp_path):
    with pytest.raises(TooManyFilesError, match=f"holds 10000000 members; at most {MAX_MEMBERS} are read"):
        read_all(zip64_of(good_parts(), total=10**7), tmp_path)


@pytest.mark.parametrize("case", LEFT_OUT)
def test_a_hostile_member_is_left_out_and_counted_and_the_others_are_read(case, tmp_path):
    make, reason = LEFT_OUT[case]
    dataset, keys, bad = read_all(make(), tmp_path)
    assert [sentence.split(" (such as ")[0] for sentence in dataset.left_out] == [f"1 {reason}"]
    assert (sorted(keys), bad) == (good_keys(), [])
    assert [path.name for path in tmp_path.rglob("*")] == ["data", "archive"]


@pytest.mark.parametrize("case", BAD)
def test_a_damaged_member_is_a_bad_image_and_the_others_are_read(case, tmp_path):
    make, reason = BAD[case]
    _, keys, bad = read_all(make(), tmp_path)
    assert [image.key for image in bad] == ["cat/odd.png"]
    assert reason in bad[0].reason
    assert sorted(keys) == good_keys()


@pytest.mark.parametrize("case", READ)
def test_what_is_odd_and_sound_is_read(case, tmp_path):
    make, more = READ[case]
    _, keys, bad = read_all(make(), tmp_path)
    assert (sorted(keys), bad) == (sorted([*good_keys(), *more]), [])


class Unseekable(io.RawIOBase):
    """Takes bytes as a pipe does, so that the standard library writes sizes behind the data."""

    def __init__(self):
        self.data = bytearray()

    def writable(self):
        return True

    def write(self, data):
        self.data += data
        return len(data)


def test_a_zip_that_was_written_into_a_pipe_is_read(tmp_path):
    pipe = Unseekable()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in GOOD.items():
            archive.writestr(name, data)
    _, keys, bad = read_all(bytes(pipe.data), tmp_path)
    assert (sorted(keys), bad) == (good_keys(), [])


def test_a_zip_with_a_comment_is_read_though_it_quotes_an_end(tmp_path):
    data = bytearray(zip_with())
    data[-2:] = (40).to_bytes(2, "little")
    _, keys, bad = read_all(bytes(data) + b"PK\5\6" + b"x" * 36, tmp_path)
    assert (sorted(keys), bad) == (good_keys(), [])


@pytest.mark.parametrize("make", [zip_with, lambda: zip64_of(good_parts()), lambda: tar_of().rstrip(b"\0")])
def test_an_archive_that_breaks_off_anywhere_is_refused(make, tmp_path):
    data, path = make(), tmp_path / "archive"
    for length in range(0, len(data) - 1, 11):
        path.write_bytes(data[:length])
        with pytest.raises(DatasetError):
            open_dataset(DatasetConfig(uri=path.as_uri()), access_to(tmp_path))


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([zip_with(), zip64_of(good_parts()), tar_of(), gz(tar_of())]),
    st.lists(st.tuples(st.integers(0, 2**20), st.binary(min_size=1, max_size=8)), min_size=1, max_size=4),
)
def test_an_archive_with_bytes_that_were_changed_is_read_or_refused(tmp_path_factory, data, changes):
    changed = bytearray(data)
    for at, new in changes:
        changed[at % len(data) : at % len(data) + len(new)] = new
    try:
        _, keys, bad = read_all(bytes(changed[: len(data)]), tmp_path_factory.mktemp("changed"))
    except DatasetError:
        return
    assert len(keys) + len(bad) <= len(GOOD)


BOMBS = {
    "zip: 256 megabytes that say they are one": lambda: zip_of(
        [odd_part(data=b"", packed=deflated(bytes(2**28)), local={"size": MIB}, central={"size": MIB})]
    ),
    "zip: many members of little": lambda: zip_of([Part(b"%05d.png" % i, b"", 0) for i in range(65_000)]),
    "tar: extended headers without a member": lambda: pax_bomb(60),
    "tar.gz: extended headers without a member": lambda: gz(pax_bomb(60)),
}


@pytest.mark.parametrize("case", BOMBS)
def test_a_bomb_takes_little_memory(case, tmp_path):
    (tmp_path / "archive").write_bytes(BOMBS[case]())
    command = [sys.executable, "-c", PEAK, str(tmp_path / "archive")]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    kib = int(answer.stdout) // (1024 if sys.platform == "darwin" else 1)
    assert kib < 48 * 1024, answer.stderr
