"""What a worker keeps on its disk of other jobs."""

import os
from pathlib import Path

from jobs.artifacts import ObjectStore
from worker.scratch import Scratch


def put(scratch: Scratch, job_id: str, n_bytes: int, used: int) -> Path:
    """Let a job have left a file, and have been worked on at `used`."""
    folder = scratch.folder(f"jobs/{job_id}/encode/0/1")
    folder.mkdir(parents=True)
    (folder / "shard").write_bytes(b"x" * n_bytes)
    os.utime(scratch.folder(f"jobs/{job_id}"), (used, used))
    return folder


def test_what_was_unused_longest_makes_room_when_another_job_begins(objects: ObjectStore, tmp_path: Path) -> None:
    scratch = Scratch(tmp_path, objects, max_bytes=250)
    old, new = put(scratch, "old", 100, used=1), put(scratch, "new", 200, used=2)
    scratch.turn_to("mine")
    assert (old.exists(), new.exists()) == (False, True)
    assert set(scratch.job_ids()) == {"new", "mine"}


def test_the_job_at_hand_keeps_its_files_whatever_their_size(objects: ObjectStore, tmp_path: Path) -> None:
    scratch = Scratch(tmp_path, objects, max_bytes=1)
    mine = put(scratch, "mine", 100, used=1)
    scratch.turn_to("mine")
    assert mine.exists()


def test_a_file_of_several_names_counts_once(objects: ObjectStore, tmp_path: Path) -> None:
    scratch = Scratch(tmp_path, objects, max_bytes=150)
    other = put(scratch, "other", 100, used=1)
    os.link(other / "shard", other / "joined")
    scratch.turn_to("mine")
    assert other.exists()


def test_jobs_that_have_ended_are_forgotten(objects: ObjectStore, tmp_path: Path) -> None:
    scratch = Scratch(tmp_path, objects, max_bytes=1000)
    ended, running = put(scratch, "ended", 1, used=1), put(scratch, "running", 1, used=2)
    scratch.keep_only({"running"})
    assert (ended.exists(), running.exists()) == (False, True)


def test_what_is_here_is_not_fetched_again(objects: ObjectStore, tmp_path: Path) -> None:
    scratch = Scratch(tmp_path / "scratch", objects, max_bytes=1000)
    stage = tmp_path / "stage"
    stage.mkdir()
    (stage / "manifest.json").write_text("{}")
    objects.upload_folder(stage, "jobs/a/read/0/1")
    (folder,) = scratch.bring(["jobs/a/read/0/1"])
    objects.delete_prefix("jobs/a")
    assert scratch.bring(["jobs/a/read/0/1"]) == [folder]
    assert (folder / "manifest.json").is_file()
