"""Tells a run's watch what Ray Data is at: whether anything finishes, and whether the encoders are there at all.

Ray Data 2.60 has a guard of its own against hangs, but it takes waiting for machines for one; it is switched off. This
is the only module that looks into an execution of Ray Data.
"""

from __future__ import annotations

from typing import Any, ClassVar

from ray.data import DataContext
from ray.data._internal.execution.execution_callback import ExecutionCallback
from ray.data._internal.execution.operators.actor_pool_map_operator import ActorPoolMapOperator
from ray.data._internal.execution.streaming_executor import StreamingExecutor

from pipeline.embedding.time_bounds import Watch


def report_to(watch: Watch, context: DataContext) -> None:
    """Makes executions of this context report to the watch: one run at a time in a process."""
    context.execution_no_progress_timeout_s = -1
    context.custom_execution_callback_classes = [_Progress]
    _Progress.watch = watch
    watch.without_resources()


class _Progress(ExecutionCallback):  # type: ignore[misc]
    """Made by Ray Data for each execution, called at each step of its scheduling."""

    # The context, and so this class, travels to other processes: as a name, without what it holds here.
    watch: ClassVar[Watch | None] = None

    def __init__(self) -> None:
        self._finished: list[tuple[int, int]] | None = None
        """tasks and blocks by operator; None while the encoders are not there"""

    def on_execution_step(self, executor: StreamingExecutor) -> None:
        assert self.watch is not None
        operators = list(executor._topology)
        if any(_waits_for_actors(operator) for operator in operators):
            self._finished = None
            self.watch.without_resources()
            return
        metrics = (operator.metrics for operator in operators)
        finished = [(metric.num_tasks_finished, metric.num_outputs_taken) for metric in metrics]
        if finished != self._finished:
            self._finished = finished
            self.watch.progress()


def _waits_for_actors(operator: Any) -> bool:
    is_at_work = isinstance(operator, ActorPoolMapOperator) and not operator.has_completed()
    return is_at_work and operator.get_actor_info().running == 0
