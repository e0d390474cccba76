"""Strangers' images are decoded elsewhere: to the same bytes, and what goes wrong there costs one image."""

import io
import multiprocessing
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ddoq.decoding import Decoders, Limits
from ddoq.decoding import decoders as shared
from ddoq.decoding_frames import Decoded, Refused, read_answer
from ddoq.image_rules import UnreadableImageError
from ddoq.pictures import decode
from tests.pictures import png

SIDE = 16
LARGE_BYTES = 4 * 6000**2
ON_LINUX = pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="reads /proc")
ORPHANED = """
from ddoq.decoding import decoders
import pathlib, psutil, sys, time
decoders().decode([pathlib.Path(sys.argv[1]).read_bytes()], 8, "crop")
print(psutil.Process().children()[0].pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def decoders(request):
    shared().close()  # what other tests left idle
    made = Decoders(2, getattr(request, "param", Limits()))
    yield made
    made.close()


def here(data, aspect="crop"):
    try:
        image, size = decode(data, SIDE, aspect)
    except UnreadableImageError as error:
        return str(error)
    return np.asarray(image).transpose(2, 0, 1).tobytes(), size


def there(answer):
    return answer.reason if isinstance(answer, Refused) else (bytes(answer.pixels), answer.size)


@pytest.fixture(scope="module")
def slow():
    """Encode 36 million pixels in few bytes: work for a good part of a second, in half a gigabyte."""
    file = io.BytesIO()
    Image.new("RGBA", (6000, 6000)).save(file, "PNG", compress_level=1)
    return file.getvalue()


def children():
    found = list[psutil.Process]()
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if "ddoq.decoding_child" in " ".join(child.cmdline()):
                found.append(child)
    return found


def is_gone(pid):
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def wait_until(holds):
    for _ in range(1000):
        if holds():
            return
        time.sleep(0.01)
    raise AssertionError("it never came true")


@pytest.mark.parametrize("aspect", ["crop", "pad"])
def test_a_child_decodes_every_odd_image_to_the_same_bytes_or_the_same_reason(aspect, decoders, shared_data):
    images = [path.read_bytes() for path in sorted((shared_data / "odd-images").iterdir())]
    assert [there(answer) for answer in decoders.decode(images, SIDE, aspect)] == [
        here(data, aspect) for data in images
    ]


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        *((mode, "PNG") for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
        *((mode, "TIFF") for mode in ("CMYK", "YCbCr", "LAB", "I", "F")),
    ],
)
def test_every_mode_that_a_file_can_have_is_decoded_or_refused_to_the_same_effect(mode, kind, decoders):
    file = io.BytesIO()
    (Image.new("LAB", (8, 8)) if mode == "LAB" else Image.new("L", (8, 8), 99).convert(mode)).save(file, kind)
    (answer,) = decoders.decode([file.getvalue()], SIDE, "crop")
    assert Image.open(file).mode == mode
    assert there(answer) == here(file.getvalue())
    assert isinstance(answer, Refused if mode == "F" else Decoded)


def test_a_palette_with_transparent_colours_is_decoded(decoders):
    file = io.BytesIO()
    Image.new("P", (8, 8)).save(file, "PNG", transparency=b"\x80" * 256)
    assert there(decoders.decode([file.getvalue()], SIDE, "crop")[0]) == here(file.getvalue())


@pytest.mark.parametrize("decoders", [Limits(seconds=0.15)], indirect=True)
def test_an_image_that_takes_too_long_is_refused_and_those_beside_it_are_not(decoders, slow):
    answers = decoders.decode([png(0, 0), slow, png(0, 1)], SIDE, "crop")
    assert there(answers[1]) == "it takes longer than 0.15 seconds to decode"
    assert [there(answers[0]), there(answers[2])] == [here(png(0, 0)), here(png(0, 1))]


@ON_LINUX
@pytest.mark.parametrize("decoders", [Limits(n_bytes=300 * 2**20)], indirect=True)
def test_an_image_that_takes_too_much_memory_is_refused_and_those_beside_it_are_not(decoders, slow):
    answers = decoders.decode([png(0, 0), slow, png(0, 1)], SIDE, "crop")
    assert there(answers[1]) == "it takes more memory to decode than an image is given"
    assert [there(answers[0]), there(answers[2])] == [here(png(0, 0)), here(png(0, 1))]


@contextmanager
def killing(n_times):
    """Kill so many children as soon as each is at work on the large image."""
    done, killed = threading.Event(), set[int]()

    def kill():
        while len(killed) < n_times and not done.wait(0.005):
            for child in children():
                with suppress(psutil.Error):
                    if child.memory_info().rss > LARGE_BYTES // 2 and child.pid not in killed:
                        child.send_signal(signal.SIGSEGV)
                        killed.add(child.pid)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield killed
    finally:
        done.set()
        killer.join()


def test_a_child_that_is_killed_costs_no_image(decoders, slow):
    with killing(1) as killed:
        answers = decoders.decode([png(0, 0), slow], SIDE, "crop")
    assert [type(answer) for answer in answers] == [Decoded, Decoded]
    assert len(killed) == 1


def test_an_image_whose_child_dies_each_time_is_refused_and_those_beside_it_are_not(decoders, slow):
    with killing(2):
        answers = decoders.decode([png(0, 0), slow, png(0, 1)], SIDE, "crop")
    assert there(answers[1]) == "the process that decodes it dies of it (SIGSEGV)"
    assert [there(answers[0]), there(answers[2])] == [here(png(0, 0)), here(png(0, 1))]


@ON_LINUX
def test_a_child_has_no_secret_and_may_write_no_file(decoders, monkeypatch):
    monkeypatch.setenv("DDOQ_S3_SECRET_KEY", "planted")
    decoders.decode([png(0, 0)], SIDE, "crop")
    place = Path(f"/proc/{children()[0].pid}")
    limits = {line[:26].strip(): line[26:].split()[:2] for line in (place / "limits").read_text().splitlines()}
    assert b"planted" not in (place / "environ").read_bytes()
    assert Path.readlink(place / "cwd") == Path("/")
    assert limits["Max file size"] == limits["Max core file size"] == limits["Max processes"] == ["0", "0"]
    assert limits["Max open files"] == ["16", "16"]
    assert limits["Max address space"] == [str(2 * 2**30)] * 2
    assert {int(name.name) for name in (place / "fd").iterdir()} <= {0, 1, 2, 3}


@pytest.mark.parametrize("decoders", [Limits(idle_seconds=0.05)], indirect=True)
def test_a_child_with_nothing_to_do_ends_and_another_takes_its_place(decoders):
    for _ in range(2):
        assert there(decoders.decode([png(0, 0)], SIDE, "crop")[0]) == here(png(0, 0))
        wait_until(lambda: all(is_gone(child.pid) for child in children()))


@pytest.mark.parametrize("decoders", [Limits(idle_seconds=0.05)], indirect=True)
def test_a_child_that_has_ended_for_idleness_is_gone_though_nobody_decodes(decoders):
    decoders.decode([png(0, 0)], SIDE, "crop")
    wait_until(lambda: not psutil.Process().children())


def test_a_child_that_was_killed_while_idle_is_gone_though_nobody_decodes(decoders):
    decoders.decode([png(0, 0)], SIDE, "crop")
    (child,) = children()
    child.kill()
    wait_until(lambda: not psutil.pid_exists(child.pid))
    assert there(decoders.decode([png(0, 1)], SIDE, "crop")[0]) == here(png(0, 1))


def test_no_child_outlives_a_killed_parent(tmp_path):
    (tmp_path / "x.png").write_bytes(png(0, 0))
    command = [sys.executable, "-c", ORPHANED, str(tmp_path / "x.png")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        assert not is_gone(pid)
        parent.kill()
    wait_until(lambda: is_gone(pid))


def decode_into(queue):
    queue.put(there(shared().decode([png(0, 0)], SIDE, "crop")[0]))


def test_a_daemonic_process_may_decode_as_a_worker_does():
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=decode_into, args=(queue,), daemon=True)
    process.start()
    assert queue.get(timeout=60) == here(png(0, 0))
    process.join()


def test_children_that_do_not_start_are_no_fault_of_the_image(decoders, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match="does not start"):
        decoders.decode([png(0, 0)], SIDE, "crop")


def test_many_threads_share_few_children(decoders):
    answers = {}
    threads = [
        threading.Thread(target=lambda i=i: answers.update({i: decoders.decode([png(0, i)], SIDE, "crop")[0]}))
        for i in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {i: there(answer) for i, answer in answers.items()} == {i: here(png(0, i)) for i in range(12)}
    assert len(children()) <= 2


@given(st.binary(max_size=200), st.integers(0, 4))
def test_what_a_child_says_is_believed_only_when_it_makes_sense(data, n_images):
    try:
        answers = read_answer(memoryview(data), n_images, 2)
    except ValueError:
        return
    assert len(answers) == n_images
    assert all(len(answer.pixels) == 12 for answer in answers if isinstance(answer, Decoded))
