"""Archives that mean harm, made from scratch: each is a sound dataset with something wrong in it."""

import gzip
import io
import struct
import tarfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from tests.pictures import members, png

GOOD = members(("cat", "dog"), n_train=3, n_test=1, size=(8, 8))
ODD = "train/cat/odd.png"


@dataclass(frozen=True)
class Part:
    """A member of a zip; `local` and `central` replace what its two headers say, by field."""

    name: bytes
    data: bytes = b""
    method: int = 8
    flags: int = 0
    mode: int = 0o100644
    packed: bytes | None = None
    local: dict[str, int | bytes] = field(default_factory=dict)
    central: dict[str, int | bytes] = field(default_factory=dict)

    def fields(self) -> dict[str, int | bytes]:
        packed = self.body()
        return {
            "flags": self.flags, "method": self.method, "crc": zlib.crc32(self.data), "packed": len(packed),
            "size": len(self.data), "name": self.name, "extra": b"", "mode": self.mode,
        }  # fmt: skip

    def body(self) -> bytes:
        if self.packed is not None:
            return self.packed
        return deflated(self.data) if self.method == 8 else self.data


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def good_parts() -> list[Part]:
    return [Part(name.encode(), data) for name, data in GOOD.items()]


def odd_part(**changes: object) -> Part:
    return replace(Part(ODD.encode(), png(0, 9)), **changes)


def zip_of(parts: Sequence[Part], end: dict[str, int] | None = None, starts: dict[int, int] | None = None) -> bytes:
    """Write a zip; `end` replaces what the end record says, `starts` where a member's header is said to be."""
    body, central = bytearray(), bytearray()
    for i, part in enumerate(parts):
        start = len(body)
        at = part.fields() | part.local
        body += struct.pack(
            "<4s5H3L2H", b"PK\3\4", 20, at["flags"], at["method"], 0, 0, at["crc"], at["packed"], at["size"],
            len(at["name"]), len(at["extra"]),
        ) + at["name"] + at["extra"] + part.body()  # fmt: skip
        at = part.fields() | {"start": (starts or {}).get(i, start)} | part.central
        central += struct.pack(
            "<4s6H3L5H2L", b"PK\1\2", 0x314, 20, at["flags"], at["method"], 0, 0, at["crc"], at["packed"], at["size"],
            len(at["name"]), len(at["extra"]), 0, 0, 0, at["mode"] << 16, at["start"],
        ) + at["name"] + at["extra"]  # fmt: skip
    told = {"disk": 0, "here": len(parts), "total": len(parts), "size": len(central), "start": len(body)} | (end or {})
    numbers = [told["disk"], 0, told["here"], told["total"], told["size"], told["start"], 0]
    return bytes(body + central + struct.pack("<4s4H2LH", b"PK\5\6", *numbers))


def zip_with(*parts: Part, **options: dict[str, int]) -> bytes:
    return zip_of([*good_parts(), *parts], **options)


def zip_named(name: bytes, **changes: object) -> bytes:
    return zip_with(odd_part(name=name, **changes))


def quoted_overlap(n_files: int = 20) -> bytes:
    """Make each file quote the headers of those behind it, up to one kernel that all share (Fifield 2019)."""
    kernel = deflated(bytes(100_000))
    names = [b"train/cat/%06d.png" % i for i in range(n_files)]
    header_size = 30 + len(names[0])
    blocks, bodies = b"", [(kernel, bytes(100_000))]
    for name in reversed(names[1:]):
        packed, data = bodies[0]
        quoted = local_header(name, packed, data)
        blocks = struct.pack("<BHH", 0, len(quoted), len(quoted) ^ 0xFFFF) + quoted
        bodies.insert(0, (blocks + packed, quoted + data))
    body, central, start = b"", b"", 0
    for name, (packed, data) in zip(names, bodies, strict=True):
        fields = (zlib.crc32(data), len(packed), len(data), len(name), 0, 0, 0, 0, 0o100644 << 16, start)
        central += struct.pack("<4s6H3L5H2L", b"PK\1\2", 0x314, 20, 0, 8, 0, 0, *fields) + name
        start += header_size + 5
    body = local_header(names[0], *bodies[0]) + bodies[0][0]
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, n_files, n_files, len(central), len(body), 0)
    return body + central + end


def local_header(name: bytes, packed: bytes, data: bytes) -> bytes:
    sizes = (zlib.crc32(data), len(packed), len(data), len(name), 0)
    return struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 8, 0, 0, *sizes) + name


def zip64_of(parts: Sequence[Part], **lies: int) -> bytes:
    """Write a zip whose end is told in 64 bits."""
    data = zip_of(parts)
    n, size, start = len(parts), *struct.unpack_from("<2L", data, len(data) - 10)
    told = {"total": n, "size": size, "start": start, "at": start + size, "length": 44} | lies
    record = struct.pack(
        "<4sQ2H2L4Q", b"PK\6\6", told["length"], 45, 45, 0, 0, told["total"], told["total"], told["size"], told["start"]
    )
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, told["at"], 1)
    short = (0, 0, 0xFFFF, 0xFFFF, told.get("short_size", 0xFFFFFFFF), 0xFFFFFFFF, 0)
    return data[:-22] + record + locator + struct.pack("<4s4H2LH", b"PK\5\6", *short)


def tar_of(*extra: tarfile.TarInfo | tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for name, data in GOOD.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for item in extra:
            info, data = item if isinstance(item, tuple) else (item, b"")
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def tar_named(name: str, **fields: object) -> bytes:
    info = tarfile.TarInfo(name)
    data = png(0, 9)
    info.size = len(data)
    for key, value in fields.items():
        setattr(info, key, value)
    return tar_of((info, data if info.isreg() else b""))


def tar_kind(kind: bytes, **fields: object) -> bytes:
    return tar_named(ODD, type=kind, size=0, **fields)


def tar_with_header(change: Callable[[bytearray], None]) -> bytes:
    """Write a tar whose last header was changed, with the checksum that belongs to it."""
    header = bytearray(tarfile.TarInfo(ODD).tobuf(tarfile.GNU_FORMAT))
    change(header)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    data = tar_of()
    return data[: len(data.rstrip(b"\0")) // 512 * 512 + 512] + bytes(header) + bytes(1024)


def set_size(field_bytes: bytes) -> Callable[[bytearray], None]:
    def change(header: bytearray) -> None:
        header[124:136] = field_bytes

    return change


def pax_bomb(n: int) -> bytes:
    """Write many extended headers, each full of keys of its own, before one member."""
    blocks = b""
    for i in range(n):
        value = b"x" * 1000
        records = b"".join(record(b"key%06d" % (1000 * i + k), value) for k in range(900))
        info = tarfile.TarInfo("pax")
        info.type, info.size = tarfile.XHDTYPE, len(records)
        blocks += info.tobuf(tarfile.USTAR_FORMAT) + records + bytes(-len(records) % 512)
    return blocks + tar_of()


def record(key: bytes, value: bytes) -> bytes:
    """Write an extended record that is 1,000 to 9,999 bytes long."""
    rest = b" " + key + b"=" + value + b"\n"
    return b"%d" % (len(rest) + 4) + rest


def gz(data: bytes) -> bytes:
    return gzip.compress(data, 6, mtime=0)
