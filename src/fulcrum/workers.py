# pyright: basic
"""Independent jobs side by side: in processes that share the cores, or on a Ray cluster.

The operations of a tiny model are too small to be shared by cores: two processes of one thread each do nearly twice
the work of one process of two threads. Larger models fill a machine alone; more machines come with Ray.
"""

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any, TypeVar

from fulcrum.hardware import SMALL_PARAMETERS, choose_device
from fulcrum.lazy import load

JobType = TypeVar("JobType")
Result = TypeVar("Result")
Tell = Callable[[Any], None]
"""With it a job reports on its way; what it says must survive pickling."""


def processes_for(jobs: int, parameters: int) -> int:
    """Return how many jobs on models of this size to do at once.

    All on a Ray cluster, which has its own limits; one where a model can keep the whole machine busy; else as many as
    torch has threads.
    """
    if "RAY_ADDRESS" in os.environ:
        return max(1, jobs)
    import torch

    small = choose_device() == "cpu" and parameters <= SMALL_PARAMETERS
    return max(1, min(jobs, torch.get_num_threads())) if small else 1


def work_ahead(
    work: Callable[[JobType, Tell], Any], jobs: Sequence[JobType], parameters: int, hear: Tell = lambda message: None
) -> None:
    """Do jobs side by side that the caller would else do one after another; if only one can be done at once, none is.

    Args:
        work: leaves its results where the caller looks them up; as for `spread`.
        jobs: what is not done yet.
        parameters: size of the models that they work with.
        hear: told what the jobs report.
    """
    processes = processes_for(len(jobs), parameters)
    if len(jobs) > 1 and processes > 1:
        for _ in spread(work, jobs, processes, hear):
            pass


def spread(
    work: Callable[[JobType, Tell], Result],
    jobs: Sequence[JobType],
    processes: int,
    hear: Tell = lambda message: None,
) -> Iterator[tuple[JobType, Result]]:
    """Yield each job with its result as it ends; the first error ends them all.

    Args:
        work: called with a job and with what to report to. With several processes it must be a function of a
            module, or a `functools.partial` of one, and what it takes and returns must survive pickling.
        jobs: begun in this order.
        processes: how many work at once; with one they work here, one after another. With more, where `RAY_ADDRESS` is
            set, the cluster there does the work; it must see the files that the jobs name, in the same place.
        hear: told, from another thread, what the jobs report.

    Raises:
        MissingExtra: `RAY_ADDRESS` is set, and Ray is not installed.
    """
    if processes == 1:
        for job in jobs:
            yield job, work(job, hear)
        return
    if "RAY_ADDRESS" in os.environ:
        yield from _on_ray(work, jobs, hear)
        return
    import torch

    context = multiprocessing.get_context("spawn")  # a fork would copy the locks of torch's threads
    share = max(1, torch.get_num_threads() // processes)
    reports = context.Queue()
    listener = _listening(reports, hear)
    strangers = set(multiprocessing.active_children())
    with ProcessPoolExecutor(processes, context, _begin, (share, reports)) as pool:
        try:
            with _script_left_out():
                running = {pool.submit(_work, work, job): job for job in jobs}
            for done in as_completed(running):
                yield running[done], done.result()
        except BaseException:  # the caller's too, Ctrl-C among them: nobody waits for what is running
            reports.cancel_join_thread()
            for process in set(multiprocessing.active_children()) - strangers:
                process.terminate()
            raise
    reports.put(None)
    listener.join()


@contextmanager
def _script_left_out() -> Iterator[None]:
    """Keep processes that are started inside from running the caller's script once more, as a spawned one does."""
    script = sys.modules["__main__"].__dict__
    kept = {name: script.pop(name, None) for name in ("__file__", "__spec__")}
    script["__spec__"] = None
    try:
        yield
    finally:
        script.update({name: value for name, value in kept.items() if name == "__spec__" or value})


def _on_ray(
    work: Callable[[JobType, Tell], Result], jobs: Sequence[JobType], hear: Tell
) -> Iterator[tuple[JobType, Result]]:
    load("ray:init")(ignore_reinit_error=True, log_to_driver=False)
    import ray

    reports = load("ray.util.queue:Queue")(actor_options={"num_cpus": 0})
    listener = _listening(reports, hear)
    gpus = min(1, ray.cluster_resources().get("GPU", 0))
    task = ray.remote(num_cpus=1, num_gpus=gpus)(_work_on_ray)
    running = {task.remote(work, job, reports): job for job in jobs}
    try:
        while running:
            (done,), _ = ray.wait(list(running))
            yield running.pop(done), ray.get(done)
    finally:
        for left in running:
            ray.cancel(left, force=True)
        reports.put(None)
        listener.join()
        reports.shutdown()


def _work_on_ray(work: Callable[[JobType, Tell], Result], job: JobType, reports: Any) -> Result:
    return work(job, reports.put)


def _listening(reports: Any, hear: Tell) -> threading.Thread:
    listener = threading.Thread(target=_listen, args=(reports, hear), daemon=True)
    listener.start()
    return listener


def _listen(reports: Any, hear: Tell) -> None:
    for message in iter(reports.get, None):
        hear(message)


_reports: Any = None


def _begin(threads: int, reports: Any) -> None:
    """Set up a worker: its share of the cores, its way to report, and its end when its parent dies."""
    import torch

    global _reports
    _reports = reports
    torch.set_num_threads(threads)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent
    wait([parent.sentinel])
    os._exit(1)


def _work(work: Callable[[JobType, Tell], Result], job: JobType) -> Result:
    return work(job, _reports.put)
