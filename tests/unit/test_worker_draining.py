"""The sign by which a worker's main process stops its child."""

import multiprocessing
import time

from worker.draining import Flag

FORK = multiprocessing.get_context("fork")


def test_a_child_sees_what_its_parent_sets() -> None:
    flag, told = Flag(), FORK.Queue()
    child = FORK.Process(target=lambda: told.put(flag.wait(60)))
    child.start()
    flag.set()
    assert told.get(timeout=60)
    child.join()


def test_without_a_sign_the_wait_ends() -> None:
    flag = Flag()
    assert not flag.wait(0)
    assert not flag.wait(0.01)


def test_a_child_that_is_killed_while_it_waits_holds_nobody_up() -> None:
    flag = Flag()
    child = FORK.Process(target=flag.wait, args=(60,))
    child.start()
    time.sleep(0.3)
    child.kill()
    child.join()
    setter = FORK.Process(target=flag.set)  # a process, so that a hang would fail this test alone
    setter.start()
    setter.join(30)
    assert setter.exitcode == 0
    assert flag.is_set()
