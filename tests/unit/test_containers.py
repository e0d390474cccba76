import gzip
import io
import stat
import struct
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest
import zstandard

from ddoq.containers import ENCRYPTED, OTHER_COMPRESSION, is_parquet, open_container
from ddoq.errors import DamagedArchiveError, DatasetChangedError, NotAnArchiveError
from ddoq.image_rules import UnreadableImageError
from ddoq.sources import LINK, SPECIAL_FILE, open_source
from tests.pictures import access_to, write_tar, write_tar_zst, write_zip

FILES = {f"class/{i}.png": bytes([i]) * (100 + 200 * i) for i in range(9)}
WRITERS = {
    "zip": lambda path: write_zip(path, FILES),
    "tar": lambda path: write_tar(path, FILES),
    "tar.gz": lambda path: write_tar(path, FILES, "w:gz"),
    "tar.zst": lambda path: write_tar_zst(path, FILES),
}


def local(path):
    return open_source(path.as_uri(), access_to(path.parent))


def entries(path):
    return list(open_container(local(path)).entries())


def refusals(path):
    return {entry.member.name: entry.refusal for entry in entries(path)}


def write_links(path):
    with tarfile.open(path, "w") as archive:
        for name, kind in (("a/sym", tarfile.SYMTYPE), ("a/hard", tarfile.LNKTYPE), ("a/pipe", tarfile.FIFOTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)


@pytest.fixture(params=list(WRITERS))
def archive(request, tmp_path):
    path = tmp_path / "named-without-a-suffix"
    WRITERS[request.param](path)
    return path


def test_an_archive_is_known_by_its_content_and_gives_its_files(archive):
    container = open_container(local(archive))
    with container.opened() as find:
        assert {entry.member.name: find(entry.member)() for entry in container.entries()} == FILES


def test_some_members_are_read_without_the_others(archive):
    container = open_container(local(archive))
    wanted = [entry.member for entry in container.entries()][2::3]
    with container.opened() as find:
        assert [find(member)() for member in wanted] == [FILES[member.name] for member in wanted]


def test_what_was_found_is_read_in_other_threads(archive):
    container = open_container(local(archive))
    members = [entry.member for entry in container.entries()]
    with container.opened() as find, ThreadPoolExecutor(4) as pool:
        loads = [(member, pool.submit(find(member))) for member in members for _ in range(1)]
        assert {member.name: load.result() for member, load in loads} == FILES


def test_an_archive_that_breaks_off_is_refused(archive):
    data = archive.read_bytes()
    archive.write_bytes(data[: len(data) // 3])
    with pytest.raises(DamagedArchiveError):
        entries(archive)


def test_an_archive_that_was_replaced_after_the_listing_is_refused(archive):
    container = open_container(local(archive))
    archive.write_bytes(archive.read_bytes() + b"\0" * 512)
    with pytest.raises(DatasetChangedError, match="changed"), container.opened():
        pass


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 1024, b"hello", b"7z\xbc\xaf\x27\x1c", b"\x89PNG\r\n\x1a\n" + bytes(600)]
)
def test_what_is_no_archive_is_refused_and_the_kinds_that_are_read_are_named(content, tmp_path):
    (tmp_path / "data.zip").write_bytes(content)
    with pytest.raises(NotAnArchiveError, match=r"'data.zip' is neither a zip, a tar, a tar.gz, a tar.zst nor Parquet"):
        open_container(local(tmp_path / "data.zip"))


def test_a_gzip_file_that_holds_no_tar_is_refused(tmp_path):
    (tmp_path / "data.gz").write_bytes(gzip.compress(b"no tar" * 200))
    with pytest.raises(NotAnArchiveError):
        open_container(local(tmp_path / "data.gz"))


def test_a_gzip_file_that_breaks_off_at_once_is_damaged(tmp_path):
    (tmp_path / "data.gz").write_bytes(gzip.compress(bytes(600))[:14])
    with pytest.raises(DamagedArchiveError):
        open_container(local(tmp_path / "data.gz"))


def test_a_tar_cut_off_inside_sound_gzip_is_refused(tmp_path):
    plain = tmp_path / "plain"
    write_tar(plain, FILES)
    (tmp_path / "data.tgz").write_bytes(gzip.compress(plain.read_bytes()[:1700]))
    with pytest.raises(DamagedArchiveError, match="breaks off at byte 1700"):
        entries(tmp_path / "data.tgz")


def test_a_flipped_byte_in_gzip_is_noticed(tmp_path):
    path = tmp_path / "data.tgz"
    write_tar(path, FILES, "w:gz")
    data = bytearray(path.read_bytes())
    data[-6] ^= 1  # in the checksum
    path.write_bytes(data)
    with pytest.raises(DamagedArchiveError):
        entries(path)


def test_links_and_pipes_in_a_tar_are_refused(tmp_path):
    write_links(tmp_path / "data.tar")
    assert refusals(tmp_path / "data.tar") == {"a/sym": LINK, "a/hard": LINK, "a/pipe": SPECIAL_FILE}


def test_links_in_a_zip_are_refused(tmp_path):
    info = zipfile.ZipInfo("a/sym.png")
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    assert refusals(tmp_path / "data.zip") == {"a/sym.png": LINK}


def test_encrypted_files_in_a_zip_are_refused(tmp_path):
    write_zip(tmp_path / "data.zip", {"a/x.png": b"secret"})
    data = bytearray((tmp_path / "data.zip").read_bytes())
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(signature) + offset] |= 1
    (tmp_path / "data.zip").write_bytes(data)
    assert refusals(tmp_path / "data.zip") == {"a/x.png": ENCRYPTED}


def test_compression_that_could_take_much_memory_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "data.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a/x.png", b"data")
    assert refusals(tmp_path / "data.zip") == {"a/x.png": OTHER_COMPRESSION}


def test_a_damaged_file_in_a_zip_is_a_bad_image_and_not_a_bad_archive(tmp_path):
    write_zip(tmp_path / "data.zip", {"a/x.png": b"data" * 9})
    data = (tmp_path / "data.zip").read_bytes()
    (tmp_path / "data.zip").write_bytes(data.replace(b"datadata", b"dataDATA", 1))
    container = open_container(local(tmp_path / "data.zip"))
    (entry,) = container.entries()
    with container.opened() as find, pytest.raises(UnreadableImageError, match="CRC"):
        find(entry.member)()


def test_a_zip_that_claims_to_unpack_to_terabytes_is_refused(tmp_path):
    write_zip(tmp_path / "data.zip", {f"a/{i}.png": b"x" for i in range(300)})
    data = bytearray((tmp_path / "data.zip").read_bytes())
    at = data.find(b"PK\1\2")
    while at >= 0:
        data[at + 24 : at + 28] = struct.pack("<I", 2**32 - 2)
        at = data.find(b"PK\1\2", at + 1)
    (tmp_path / "data.zip").write_bytes(data)
    with pytest.raises(DamagedArchiveError, match="over 200 times"):
        entries(tmp_path / "data.zip")


def test_a_tar_gz_that_claims_to_unpack_to_terabytes_is_refused_before_it_is_unpacked(tmp_path):
    info = tarfile.TarInfo("a/x.png")
    info.size = 2**42
    (tmp_path / "data.tgz").write_bytes(gzip.compress(info.tobuf(tarfile.GNU_FORMAT)))
    with pytest.raises(DamagedArchiveError, match="over 200 times"):
        entries(tmp_path / "data.tgz")


def test_a_leading_dot_folder_does_not_change_a_name(tmp_path):
    write_tar(tmp_path / "data.tar", {"./a/x.png": b"x"})
    assert refusals(tmp_path / "data.tar") == {"a/x.png": None}


def test_the_tag_of_a_zipped_file_changes_with_its_content_alone(tmp_path):
    tags = []
    for data in (b"one", b"one", b"two"):
        write_zip(tmp_path / "data.zip", {"a/x.png": data})
        tags.append(entries(tmp_path / "data.zip")[0].tag)
    assert tags[0] == tags[1] != tags[2]


def test_parquet_is_known_by_its_first_bytes(tmp_path):
    (tmp_path / "x").write_bytes(io.BytesIO(b"PAR1....").getvalue())
    assert is_parquet(local(tmp_path / "x"))


def test_several_zstandard_frames_and_what_may_be_skipped_are_one_tar(tmp_path):
    write_tar(tmp_path / "plain", FILES)
    data, pack = (tmp_path / "plain").read_bytes(), zstandard.ZstdCompressor(write_checksum=True).compress
    skipped = struct.pack("<II", 0x184D2A53, 5) + b"notes"
    (tmp_path / "data").write_bytes(pack(data[:1000]) + skipped + pack(data[1000:]) + pack(b""))
    assert refusals(tmp_path / "data") == dict.fromkeys(FILES)


def test_zstandard_that_needs_more_memory_than_is_given_is_refused(tmp_path):
    parameters = zstandard.ZstdCompressionParameters(window_log=28)
    write_tar(tmp_path / "plain", FILES)
    packed = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    (tmp_path / "data").write_bytes(packed.compress((tmp_path / "plain").read_bytes()) + packed.flush())
    with pytest.raises(DamagedArchiveError, match=r"damaged|window of at most 128 MiB"):
        entries(tmp_path / "data")


def test_a_second_zstandard_frame_that_needs_more_memory_is_refused_before_the_first_is_unpacked(tmp_path):
    write_tar(tmp_path / "plain", FILES)
    greedy = zstandard.ZstdCompressor(
        compression_params=zstandard.ZstdCompressionParameters(window_log=28)
    ).compressobj()
    first = zstandard.ZstdCompressor().compress((tmp_path / "plain").read_bytes())
    (tmp_path / "data").write_bytes(first + greedy.compress(bytes(9)) + greedy.flush())
    with pytest.raises(DamagedArchiveError, match="window of at most 128 MiB"):
        entries(tmp_path / "data")


def test_a_tar_zst_that_claims_to_unpack_to_terabytes_is_refused_before_it_is_unpacked(tmp_path):
    info = tarfile.TarInfo("a/x.png")
    info.size = 2**42
    (tmp_path / "data").write_bytes(zstandard.ZstdCompressor().compress(info.tobuf(tarfile.GNU_FORMAT)))
    with pytest.raises(DamagedArchiveError, match="over 200 times"):
        entries(tmp_path / "data")


@pytest.mark.parametrize("checksum", [False, True])
def test_every_truncation_of_a_tar_zst_is_refused(checksum, tmp_path):
    write_tar(tmp_path / "plain", FILES)
    pack = zstandard.ZstdCompressor(write_checksum=checksum).compress
    data = pack((tmp_path / "plain").read_bytes())
    for length in range(9, len(data)):
        (tmp_path / "data").write_bytes(data[:length])
        with pytest.raises((DamagedArchiveError, NotAnArchiveError)):
            entries(tmp_path / "data")


def test_a_flipped_byte_in_zstandard_is_noticed(tmp_path):
    write_tar_zst(tmp_path / "data", FILES)
    data = bytearray((tmp_path / "data").read_bytes())
    data[-2] ^= 1  # in the checksum
    (tmp_path / "data").write_bytes(data)
    with pytest.raises(DamagedArchiveError):
        entries(tmp_path / "data")


def test_zstandard_of_countless_empty_blocks_is_refused(tmp_path):
    write_tar(tmp_path / "plain", FILES)
    packed = zstandard.ZstdCompressor().compress((tmp_path / "plain").read_bytes())
    empty = zstandard.ZstdCompressor(write_content_size=False).compress(b"")
    (tmp_path / "data").write_bytes(packed + empty * 20_000)
    with pytest.raises(DamagedArchiveError, match="very small blocks"):
        entries(tmp_path / "data")
