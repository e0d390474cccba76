"""Ours against the standard library's, which writes what we read."""

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddoq.errors import DamagedArchiveError
from ddoq.tars import BLOCK, Kind, is_header, read_members

NAMES = st.text("abcé/. 猫", min_size=1, max_size=300).filter(lambda name: name.strip("/") == name)
FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


def tar_of(files, kind=tarfile.PAX_FORMAT):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=kind) as archive:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def one_member(info, kind=tarfile.GNU_FORMAT):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=kind) as archive:
        archive.addfile(info)
    return file.getvalue()


@given(st.lists(st.tuples(NAMES, st.binary(max_size=1100)), max_size=5), st.sampled_from(FORMATS[1:]))
def test_members_are_those_that_were_written(files, kind):
    data = tar_of(files, kind)
    read = [(member.name, data[member.start : member.start + member.size]) for member in read_members(io.BytesIO(data))]
    assert read == files


def test_a_long_name_split_in_two_fields_is_put_together():
    name = "folder/" * 20 + "file.png"
    assert [member.name for member in read_members(io.BytesIO(tar_of([(name, b"")], tarfile.USTAR_FORMAT)))] == [name]


@pytest.mark.parametrize(
    ("type_", "kind"),
    [
        (tarfile.DIRTYPE, Kind.FOLDER),
        (tarfile.SYMTYPE, Kind.LINK),
        (tarfile.LNKTYPE, Kind.LINK),
        (tarfile.CHRTYPE, Kind.OTHER),
        (tarfile.FIFOTYPE, Kind.OTHER),
        (tarfile.AREGTYPE, Kind.FILE),
    ],
)
def test_the_kind_of_each_member_is_told(type_, kind):
    info = tarfile.TarInfo("name")
    info.type = type_
    assert [member.kind for member in read_members(io.BytesIO(one_member(info)))] == [kind]


def test_a_size_of_more_than_eight_gibibytes_is_read():
    info = tarfile.TarInfo("huge")
    info.size = 2**40 + 1
    header = info.tobuf(tarfile.GNU_FORMAT)
    assert next(read_members(io.BytesIO(header))).size == 2**40 + 1


def test_a_negative_size_is_refused():
    header = bytearray(tarfile.TarInfo("a").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 12
    with pytest.raises(DamagedArchiveError):
        list(read_members(io.BytesIO(sealed(header))))


@pytest.mark.parametrize("size", [b"-1", b"9" * 30, b"1e3", b""])
def test_a_size_in_an_extended_header_that_is_no_size_is_refused(size):
    info = tarfile.TarInfo("a")
    info.pax_headers = {"size": size.decode()}
    with pytest.raises(DamagedArchiveError, match="size"):
        list(read_members(io.BytesIO(info.tobuf(tarfile.PAX_FORMAT) + bytes(1024))))


def test_an_extended_header_is_not_read_when_it_is_longer_than_a_mebibyte():
    info = tarfile.TarInfo("a")
    info.type, info.size = tarfile.XHDTYPE, 2**21
    with pytest.raises(DamagedArchiveError, match="1 MiB"):
        list(read_members(io.BytesIO(info.tobuf() + bytes(2**21))))


def test_members_with_holes_are_refused_by_name():
    info = tarfile.TarInfo("sparse.png")
    info.type = tarfile.GNUTYPE_SPARSE
    with pytest.raises(DamagedArchiveError, match="--sparse"):
        list(read_members(io.BytesIO(info.tobuf())))


def test_a_changed_header_byte_is_noticed():
    data = bytearray(tar_of([("a", b"1"), ("b", b"2")], tarfile.GNU_FORMAT))
    data[2 * BLOCK] ^= 1
    with pytest.raises(DamagedArchiveError, match="byte 1024"):
        list(read_members(io.BytesIO(data)))


def test_a_header_that_breaks_off_is_noticed():
    with pytest.raises(DamagedArchiveError):
        list(read_members(io.BytesIO(tar_of([("a", b"1"), ("b", b"2")], tarfile.GNU_FORMAT)[:1300])))


@given(st.binary(min_size=BLOCK, max_size=BLOCK))
def test_noise_is_no_header(block):
    assert not is_header(block)


@given(st.binary(max_size=2000))
def test_hostile_extended_headers_are_read_or_refused(data):
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, len(data)
    padded = data + bytes(-len(data) % BLOCK)
    try:
        list(read_members(io.BytesIO(info.tobuf() + padded + tar_of([("a", b"1")]))))
    except DamagedArchiveError:
        return


def sealed(header):
    """Put the right checksum in a header that was changed."""
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header[:BLOCK])
    return bytes(header)
