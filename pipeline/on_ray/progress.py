"""Reports Ray Data's progress to a run's watch: whether anything finishes, and whether the encoders are running.

Ray Data 2.60 has its own check for hangs, but it reports waiting for machines as a hang, so it is switched off. This
module and `encoder_arguments` are the only ones that use the internals of Ray Data's execution.
"""

from __future__ import annotations

from typing import Any, ClassVar

from ray.data import DataContext
from ray.data._internal.execution.execution_callback import ExecutionCallback
from ray.data._internal.execution.operators.actor_pool_map_operator import ActorPoolMapOperator
from ray.data._internal.execution.streaming_executor import StreamingExecutor

from pipeline.embedding.time_bounds import Watch


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
