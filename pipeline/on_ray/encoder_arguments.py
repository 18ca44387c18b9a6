"""Sends each encoder's arguments with the request that creates it, and not by references to Ray's object store.

Ray Data puts the arguments of its actors into the object store of the driver's node, and passes references. For each
such actor that Ray may restart, Ray writes an error line to stderr: a restart fails if that node is lost. Without
references there is nothing to lose, and Ray does not write the line. The arguments are small, about 15 kB. (Ray itself
would move them to the object store if they had more than 100 kB.)

This module and `progress` are the only ones that use the internals of Ray Data's execution.
"""

from __future__ import annotations

from ray.data._internal.execution.operators.actor_pool_map_operator import ActorPoolMapOperator
from ray.data._internal.logical.interfaces import PhysicalPlan, Rule
from ray.data._internal.logical.optimizers import get_physical_ruleset
from ray.data._internal.logical.rules import FuseOperators


def send_by_value() -> None:
    """From now on, executions of this process send the arguments of their actors by value."""
    rules = get_physical_ruleset()
    if _ArgumentsByValue not in rules:
        rules.add(_ArgumentsByValue)


class _ArgumentsByValue(Rule):  # type: ignore[misc]
    """Ray Data applies this to each plan before it executes it."""

    @classmethod
    def dependencies(cls) -> list[type[Rule]]:
        return [FuseOperators]  # which makes new operators

    def apply(self, plan: PhysicalPlan) -> PhysicalPlan:
        for operator in plan.dag.post_order_iter():
            if isinstance(operator, ActorPoolMapOperator):
                # Both are cached properties, which otherwise put the value into the object store and cache a reference.
                operator._map_transformer_ref = operator._map_transformer
                operator._data_context_ref = operator.data_context
        return plan
