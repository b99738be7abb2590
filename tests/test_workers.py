"""Jobs side by side: every result comes back, reports are heard, and nothing outlives an error or its parent."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from fulcrum.errors import RunError
from fulcrum.workers import processes_for, spread

pytestmark = pytest.mark.timeout(120)


def double(job, tell):
    import torch

    tell((job, os.getpid(), torch.get_num_threads()))
    return 2 * job


def fail(job, tell):
    if job == 0:
        raise RunError("no such cell")
    time.sleep(60)


@pytest.mark.parametrize("processes", [1, 2])
def test_every_job_is_done_and_heard(processes):
    heard = []
    assert dict(spread(double, range(5), processes, heard.append)) == {job: 2 * job for job in range(5)}
    assert sorted(job for job, _, _ in heard) == list(range(5))
    workers = {process for _, process, _ in heard}
    assert (workers == {os.getpid()}) == (processes == 1)
    assert len(workers) <= processes


def test_an_error_in_one_job_ends_the_others_at_once():
    started = time.monotonic()
    with pytest.raises(RunError, match="no such cell"):
        list(spread(fail, range(4), 2))
    assert time.monotonic() - started < 40


JOBS = """
import time

def sleep(job, tell):
    tell(job)
    time.sleep(120)
"""
PARENT = """
import signal

from fulcrum.workers import spread
from jobs import sleep

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's job in the background is started without

# No guard: whoever writes a short script of their own does not think of one.
list(spread(sleep, [0, 1], 2, lambda job: print("begun", flush=True)))
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_workers_do_not_outlive_their_parent(end, tmp_path):
    script = Path(tmp_path, "parent.py")
    script.write_text(PARENT)
    Path(tmp_path, "jobs.py").write_text(JOBS)
    command = [sys.executable, str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True) as parent:
        assert parent.stdout and [parent.stdout.readline() for _ in range(2)] == [b"begun\n"] * 2
        workers = psutil.Process(parent.pid).children(recursive=True)
        parent.send_signal(end)
        _, alive = psutil.wait_procs(workers, timeout=20)
        assert not alive
        parent.wait(20)


def test_large_models_get_the_machine_to_themselves(monkeypatch):
    monkeypatch.setattr("torch.get_num_threads", lambda: 8)
    assert processes_for(3, 1_000_000) == 3
    assert processes_for(20, 1_000_000) == 8
    assert processes_for(20, 1_000_000_000) == 1
    monkeypatch.setattr("fulcrum.workers.choose_device", lambda: "cuda")
    assert processes_for(20, 1_000_000) == 1
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert processes_for(20, 1_000_000_000) == 20
