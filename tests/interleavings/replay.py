"""Runs one schedule and prints its steps: `SCHEDULE=A3,B1 python -m tests.interleavings.replay embed+merge`."""

from __future__ import annotations

import os
import sys

import pipeline.table  # noqa: F401 (before lance is imported: it says what lance logs)
from tests.interleavings.scenario import Scenario, room_of
from tests.interleavings.schedule import from_text, replay


def main() -> int:
    (name,) = sys.argv[1:]
    with room_of(Scenario.named(name)) as room:
        outcome = room.run(replay(from_text(os.environ.get("SCHEDULE", ""))))
    for step in outcome.trace:
        print(f"{step.choice.thread}{step.choice.how:2} {step.call.label:40} {step.call.kind.value}")
    print("\n".join(outcome.faults) or "all is well")
    return bool(outcome.faults)


if __name__ == "__main__":
    sys.exit(main())
