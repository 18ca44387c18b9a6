"""The settings of training and their defaults. Imports no torch, so that `--help` can show them quickly."""

import math
from dataclasses import dataclass

from siglip_core.errors import SiglipError
from siglip_core.precision import Precision


@dataclass(frozen=True)
class TrainConfig:
    """The settings of training. Two runs with equal config, data, initial weights and thread count give equal weights.

    steps: optimiser steps in total; steps times batch size is the number of pairs seen.
    learning_rate: the peak, reached after a linear rise over `warmup_steps`; then a cosine falls to 0 at `steps`.
    weight_decay: decoupled (times the learning rate), on matrices only.
    clip_norm: gradients are scaled down to this global norm.
    precision: of matrix products; weights, their updates and the loss are always float32.
    text_rate: the text tower's learning rate, as a share of the image tower's. If images are harder to learn than
        words, a free text tower forgets what the image tower cannot match yet. A pretrained text tower with a low rate
        keeps it (0 locks the tower: LiT, arXiv 2111.07991).
    save_every: steps between saved training states.
    """

    steps: int
    learning_rate: float = 1e-3
    warmup_steps: int = 200
    weight_decay: float = 0.1
    clip_norm: float = 1.0
    text_rate: float = 1.0
    precision: Precision = "float32"
    save_every: int = 500

    def __post_init__(self) -> None:
        if self.steps < 1 or self.save_every < 1 or not 0 <= self.warmup_steps < self.steps:
            raise SiglipError(
                f"steps {self.steps} and save_every {self.save_every} must be at least 1, "
                f"warmup_steps {self.warmup_steps} at least 0 and below steps"
            )
        if not (self.learning_rate > 0 and self.clip_norm > 0 and min(self.weight_decay, self.text_rate) >= 0):
            raise SiglipError("learning_rate and clip_norm must be above 0, weight_decay and text_rate at least 0")
        if self.precision not in ("float32", "bfloat16"):
            raise SiglipError(f"precision must be 'float32' or 'bfloat16', not {self.precision!r}")

    def learning_rate_at(self, step: int) -> float:
        """The learning rate of step 0, 1, …, steps - 1."""
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / self.warmup_steps
        done = (step - self.warmup_steps) / (self.steps - self.warmup_steps)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
