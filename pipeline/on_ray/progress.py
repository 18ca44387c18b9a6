"""Reports Ray Data's progress to a run's watch: whether anything finishes, and whether the encoders are running.

Ray Data 2.60 has its own check for hangs, but it reports waiting for machines as a hang, so it is switched off. This
module and `encoder_arguments` are the only ones that use the internals of Ray Data's execution.
"""

from __future__ import annotations

import logging
import time
from typing import Any, ClassVar

from ray.data import DataContext
from ray.data._internal.execution.execution_callback import ExecutionCallback
from ray.data._internal.execution.operators.actor_pool_map_operator import ActorPoolMapOperator
from ray.data._internal.execution.streaming_executor import StreamingExecutor

from pipeline.embedding.time_bounds import Watch

SECONDS_TO_FIRST_LINE = 20.0
SECONDS_BETWEEN_LINES = 60.0

log = logging.getLogger(__name__)


def report_to(watch: Watch, context: DataContext) -> None:
    """Makes executions of this context report to the watch. A process can have one run at a time."""
    context.execution_no_progress_timeout_s = -1
    context.custom_execution_callback_classes = [_Progress]
    _Progress.watch = watch
    watch.without_resources()


class _Progress(ExecutionCallback):  # type: ignore[misc]
    """Ray Data makes one for each execution, and calls it at each step of its scheduling."""

    # The context, with this class, is sent to other processes: only by name, so `watch` is not set there.
    watch: ClassVar[Watch | None] = None

    def __init__(self) -> None:
        self._finished: list[tuple[int, int]] | None = None
        """finished tasks and blocks of each operator; None while the encoders are not running"""
        self._waits_since: float | None = None
        self._said = 0
        """lines about the wait"""

    def on_execution_step(self, executor: StreamingExecutor) -> None:
        assert self.watch is not None
        operators = list(executor._topology)
        if any(_waits_for_actors(operator) for operator in operators):
            self._finished = None
            self.watch.without_resources()
            self._say_that_it_waits()
            return
        self._waits_since, self._said = None, 0
        metrics = (operator.metrics for operator in operators)
        finished = [(metric.num_tasks_finished, metric.num_outputs_taken) for metric in metrics]
        if finished != self._finished:
            self._finished = finished
            self.watch.progress()

    def _say_that_it_waits(self) -> None:
        """Logs a line after some seconds, and then one a minute."""
        now = time.monotonic()
        self._waits_since = now if self._waits_since is None else self._waits_since
        waited = now - self._waits_since
        if waited >= SECONDS_TO_FIRST_LINE + self._said * SECONDS_BETWEEN_LINES:
            self._said += 1
            log.info(
                "waiting for machines for %.0f s: no encoder is running. That is no stall: the run goes on when the "
                "cluster has room for one; `ray status` shows what is asked for",
                waited,
            )


def _waits_for_actors(operator: Any) -> bool:
    is_at_work = isinstance(operator, ActorPoolMapOperator) and not operator.has_completed()
    return is_at_work and operator.get_actor_info().running == 0
