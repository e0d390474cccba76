"""URIs of datasets on the network: what they ask for, and what of it is refused unread."""

import pytest

from ddoq.errors import (
    AddressRefusedError,
    BucketNotAllowedError,
    DatasetUriError,
    HostNotAllowedError,
    HubNotAllowedError,
    UnknownSchemeError,
)
from ddoq.guard import Rules
from ddoq.source_uris import CONVERTED, HubPlace, Reach, parse_hub, parse_web, require_bucket, shown

ANY = Reach(hosts=("*",), hub_datasets=("*",))
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("uri", "names"),
    [
        ("https://h.example/sets/x.zip", ["x.zip"]),
        ("HTTPS://h.example/x.zip?a=1&b=2", ["x.zip"]),
        ("https://h.example", ["dataset"]),
        ("https://h.example/s-{8..11}.tar", ["s-8.tar", "s-9.tar", "s-10.tar", "s-11.tar"]),
        ("https://h.example/s-{008..011}.tar", ["s-008.tar", "s-009.tar", "s-010.tar", "s-011.tar"]),
        ("https://h.example/s-{5..5}.tar?t=1", ["s-5.tar"]),
    ],
)
def test_files_are_named_by_the_end_of_their_path(uri: str, names: list[str]) -> None:
    assert list(parse_web(uri, ANY).urls) == names


def test_a_range_of_a_single_number_is_a_list_all_the_same() -> None:
    assert parse_web("https://h.example/s-{5..5}.tar", ANY).is_list
    assert not parse_web("https://h.example/s-5.tar", ANY).is_list


@pytest.mark.parametrize(
    "uri",
    [
        "https://",
        "https:///x.zip",
        "https://:443/x.zip",
        "https://h.example:0/x.zip",
        "https://h.example:99999/x.zip",
        "https://ann:secret@h.example/x.zip",
        "https://ann@h.example/x.zip",
        "https://h.example\\@other.example/x.zip",
        "https://h.example/x.zip#part",
        "https://h%00.example/x.zip",
        "https://h example/x.zip",
        "https://①②⑦.0.0.1/x.zip",
        "https://0177.0.0.1/x.zip",
        "https://h.example/\n",
        "https://h.example/s-{000..002}-{0..1}.tar",
        "https://h.example/s-{a..c}.tar",
        "https://h.example/s-{0,1}.tar",
        "https://h.example/s-{3..1}.tar",
        "https://h.example/s-{0..10000}.tar",
        "https://h.example/s-{0..999999999}.tar",
        "https://h.example/{0..2}/s.tar",
        "https://h{0..2}.example/s.tar",
        "https://h.example/s.tar?part={0..2}",
        "https://h.example/s-}{.tar",
    ],
)
def test_an_address_that_is_not_of_a_file_is_refused(uri: str) -> None:
    with pytest.raises(DatasetUriError) as caught:
        parse_web(uri, ANY)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "2130706433", "127.1", "[::1]", "[::ffff:127.0.0.1]", "[fe80::1]", "169.254.169.254", "10.0.0.1"],
)
def test_a_literal_address_inside_is_refused_unread(host: str) -> None:
    with pytest.raises(AddressRefusedError):
        parse_web(f"https://{host}/x.zip", ANY)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("data.example", "data.example"),
        ("DATA.example.", "data.EXAMPLE"),
        ("a.b.data.example", "*.data.example"),
        ("bücher.example", "bücher.example"),
        ("8.8.8.8", "*"),
    ],
)
def test_an_allowed_host_is_admitted(host: str, allowed: str) -> None:
    parse_web(f"https://{host}/x.zip", Reach(hosts=("other.example", allowed)))


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("data.example", ()),
        ("other.example", ("data.example",)),
        ("data.example", ("*.data.example",)),
        ("evildata.example", ("*.data.example", "data.example")),
        ("data.example.evil", ("data.example",)),
    ],
)
def test_another_host_is_refused(host: str, allowed: tuple[str, ...]) -> None:
    with pytest.raises(HostNotAllowedError, match=host):
        parse_web(f"https://{host}/x.zip", Reach(hosts=allowed))


def test_http_is_for_private_networks() -> None:
    with pytest.raises(UnknownSchemeError):
        parse_web("http://h.example/x.zip", ANY)
    assert parse_web("http://h.example/x.zip", Reach(hosts=("*",), rules=Rules(("10.0.0.0/8",)))).urls


@pytest.mark.parametrize(
    ("rest", "revision", "path"),
    [
        (f"@{COMMIT}", COMMIT, ""),
        (f"@{COMMIT}/", COMMIT, ""),
        (f"@{COMMIT}/data/train%20x", COMMIT, "data/train x"),
        ("@~parquet", CONVERTED, ""),
        ("@~parquet/default/train", CONVERTED, "default/train"),
        ("@refs%2Fconvert%2Fparquet/default", CONVERTED, "default"),
        ("@refs/convert/parquet/default", CONVERTED, "default"),
        ("@main/data", "main", "data"),
        ("", "", ""),
    ],
)
def test_a_place_on_a_hub_is_dataset_revision_and_path(rest: str, revision: str, path: str) -> None:
    assert parse_hub(f"hf://datasets/ann/pictures{rest}", ANY) == HubPlace("ann/pictures", revision, path)


@pytest.mark.parametrize(
    ("revision", "is_pinned"), [(COMMIT, True), (COMMIT[:39], False), (COMMIT.upper(), False), ("main", False)]
)
def test_only_a_whole_commit_pins(revision: str, is_pinned: bool) -> None:
    assert HubPlace("ann/pictures", revision, "").is_pinned is is_pinned


@pytest.mark.parametrize(
    "uri",
    [
        "hf://ann/pictures@main",
        "hf://datasets/pictures",
        "hf://datasets/ann/../pictures",
        "hf://datasets/../ann",
        "hf://datasets/ann/pictures/data",
        "hf://models/ann/pictures",
        "hf://datasets/ann/pic?tures@main",
        f"hf://datasets/ann/pictures@{COMMIT}/../../secret",
        f"hf://datasets/ann/pictures@{COMMIT}/%2e%2e/secret",
        f"hf://datasets/ann/pictures@{COMMIT}/a%00b",
    ],
)
def test_what_names_no_dataset_of_a_hub_is_refused(uri: str) -> None:
    with pytest.raises(DatasetUriError):
        parse_hub(uri, ANY)


@pytest.mark.parametrize("allowed", ["*", "ann/*", "ann/pictures"])
def test_an_allowed_hub_dataset_is_admitted(allowed: str) -> None:
    parse_hub("hf://datasets/ann/pictures@~parquet", Reach(hub_datasets=("bob/x", allowed)))


@pytest.mark.parametrize("allowed", [(), ("an/*",), ("ann",), ("ann/picture",), ("*/pictures",)])
def test_another_hub_dataset_is_refused(allowed: tuple[str, ...]) -> None:
    with pytest.raises(HubNotAllowedError):
        parse_hub("hf://datasets/ann/pictures@~parquet", Reach(hub_datasets=allowed))


@pytest.mark.parametrize("rest", ["own/sets/x.zip", "own/jobs-of-mine/", "other/jobs/x", "other"])
def test_what_the_service_did_not_write_is_admitted(rest: str) -> None:
    require_bucket(rest, ("own", "*"), "own")


@pytest.mark.parametrize(
    "rest",
    ["own", "own/", "own/jobs", "own/jobs/", "own/jobs/x", "own/cache/x", "own/uploads/x", "own//jobs", "own/JOBS"],
)
def test_what_the_service_wrote_is_refused_though_its_bucket_is_allowed(rest: str) -> None:
    with pytest.raises(BucketNotAllowedError):
        require_bucket(rest, ("own", "*"), "own")


def test_any_bucket_is_not_the_service_s_own() -> None:
    with pytest.raises(BucketNotAllowedError):
        require_bucket("own/sets/x.zip", ("*",), "own")


@pytest.mark.parametrize("rest", ["sets/../own/jobs/x", "sets/a/./b", "sets/..", "sets/a/.."])
def test_a_key_that_a_file_system_would_follow_is_refused(rest: str) -> None:
    with pytest.raises(DatasetUriError):
        require_bucket(rest, ("sets",), "own")


@pytest.mark.parametrize("bucket", ["..", "."])
def test_a_bucket_is_no_way_up(bucket: str) -> None:
    with pytest.raises((DatasetUriError, BucketNotAllowedError)):
        require_bucket(f"{bucket}/own/jobs", ("*",), "own")


def test_an_address_is_shown_without_its_secrets() -> None:
    assert shown("https://ann:pw@h.example/x.zip?signature=s#f") == "https://h.example/x.zip"
