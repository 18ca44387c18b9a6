"""A small trainer with the sigmoid loss: one process, from scratch or from a checkpoint, resumed bit for bit.

The caller provides the data: `batches(step)` returns an iterator that begins at that step's batch, so a resumed run
sees the same batches as an uninterrupted one.
"""

import math
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from siglip_core.errors import CheckpointError, SiglipError
from siglip_core.losses import sigmoid_loss
from siglip_core.model import Siglip
from siglip_core.train_config import TrainConfig

# B texts, and what they are matched with: images [B, S, S, 3], or B other texts about the same images.
Batch: TypeAlias = tuple[NDArray[np.uint8] | list[str], list[str]]
Batches: TypeAlias = Callable[[int], Iterator[Batch]]
Tokenize: TypeAlias = Callable[[list[str]], NDArray[np.int64]]

# SigLIP, arXiv 2303.15343, section 4.5: b2 = 0.95 instead of 0.999 keeps large batches stable.
_BETAS = (0.9, 0.95)


@dataclass(frozen=True)
class Progress:
    """One finished step. `step` counts from 1, `loss` is that of the batch, `logit_scale` is exp(t)."""

    step: int
    loss: float
    gradient_norm: float
    learning_rate: float
    logit_scale: float
    logit_bias: float
    pairs_per_second: float


def train(
    model: Siglip,
    batches: Batches,
    tokenize: Tokenize,
    config: TrainConfig,
    state_file: Path | None = None,
    report: Callable[[Progress], None] | None = None,
    run: Mapping[str, Any] | None = None,
) -> None:
    """Trains the model in place, on the model's device.

    Args:
        model: initialised (`init.initialise`) or loaded weights, in float32.
        batches: returns the batches from a step (counted from 0) onwards; images have the model's resolution. If a
            batch has texts instead of images, only the text tower learns: which two captions mean the same.
        tokenize: texts to int64 [B, L].
        config: the settings.
        state_file: file for weights, optimiser, step and random state, written every `save_every` steps and at the
            end, each time completely or not at all. If it exists, training continues from it, and its weights replace
            those of the model.
        report: called after each step.
        run: other properties of this run, such as its data and tokenizer. A state file whose properties differ is
            refused.

    Raises:
        SiglipError: the loss is not finite, or the batches end too early.
        CheckpointError: the state file is broken, or belongs to a run with another config or model.
    """
    optimizer = torch.optim.AdamW(_groups(model, config), lr=0.0, betas=_BETAS, fused=True)
    identity = _identity(model, config) | dict(run or {})
    first = 0
    if state_file is not None and state_file.exists():
        first = _restore(state_file, model, optimizer, identity)
    model.train()
    model.text.requires_grad_(config.text_rate > 0)
    stream = batches(first)
    for step in range(first, config.steps):
        started = time.perf_counter()
        batch = next(stream, None)
        if batch is None:
            raise SiglipError(f"the data ended before step {step + 1} of {config.steps}; ask for fewer steps")
        rate = config.learning_rate_at(step)
        loss, norm = _step(model, optimizer, batch, tokenize, rate, config)
        if not math.isfinite(loss):
            raise SiglipError(f"the loss is {loss} at step {step + 1}; lower learning_rate")
        seconds = time.perf_counter() - started
        scale, bias = math.exp(model.logit_scale.item()), model.logit_bias.item()
        if report is not None:
            report(Progress(step + 1, loss, norm, rate, scale, bias, len(batch[1]) / seconds))
        if state_file is not None and ((step + 1) % config.save_every == 0 or step + 1 == config.steps):
            _save(state_file, model, optimizer, identity, step + 1)
    model.eval()


def _step(
    model: Siglip,
    optimizer: torch.optim.Optimizer,
    batch: Batch,
    tokenize: Tokenize,
    rate: float,
    config: TrainConfig,
) -> tuple[float, float]:
    """Does one update. Returns the loss before it and the gradient's norm before clipping."""
    device = model.logit_bias.device
    matched, texts = batch

    for group in optimizer.param_groups:
        group["lr"] = rate * group["share"]
    with _attention(device), torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
        tower, inputs = (model.text, tokenize(matched)) if isinstance(matched, list) else (model.image, matched)
        x_BE = F.normalize(tower(torch.from_numpy(inputs).to(device)), dim=-1)
        y_BE = F.normalize(model.text(torch.from_numpy(tokenize(texts)).to(device)), dim=-1)
    loss = sigmoid_loss(x_BE, y_BE, model.logit_scale, model.logit_bias)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    norm = nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
    optimizer.step()
    return loss.item(), norm.item()


def _attention(device: torch.device) -> AbstractContextManager[None]:
    """On a CPU, computes attention as plain matrix products, because the fused kernel's backward pass is slow there.

    Measured on two cores, width 128, 64 patches: 358 pairs per second instead of 292.
    """
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


def _groups(model: Siglip, config: TrainConfig) -> list[dict[str, Any]]:
    """Weight decay applies only to matrices, not to biases, norms, probe, positions, t and b."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = defaultdict(list)
    for name, parameter in model.named_parameters():
        matrix = parameter.ndim == 2 and not name.endswith("position_embedding")
        share = config.text_rate if name.startswith("text.") else 1.0
        groups[share, config.weight_decay if matrix else 0.0].append(parameter)
    return [{"params": group, "share": share, "weight_decay": decay} for (share, decay), group in groups.items()]


def _identity(model: Siglip, config: TrainConfig) -> dict[str, Any]:
    """The properties of a run that a saved state must match: its schedule and its model."""
    schedule = {key: value for key, value in asdict(config).items() if key != "save_every"}
    return {**schedule, "vision": asdict(model.spec.vision), "text": asdict(model.spec.text)}


def _save(path: Path, model: Siglip, optimizer: torch.optim.Optimizer, identity: dict[str, Any], step: int) -> None:
    state = {
        "step": step,
        "run": identity,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "random": torch.get_rng_state(),
    }
    unfinished = path.with_name(path.name + ".part")
    with unfinished.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def _restore(path: Path, model: Siglip, optimizer: torch.optim.Optimizer, identity: dict[str, Any]) -> int:
    """Loads the saved state into model and optimiser; returns the number of finished steps."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        run, step = state["run"], int(state["step"])
    except Exception as error:  # unpickling damaged bytes raises almost any error
        raise CheckpointError(
            f"{path}: not a training state: {error}; delete the file to start again from step 0"
        ) from error
    differing = [f"{key} {run.get(key)} there, {here} here" for key, here in identity.items() if run.get(key) != here]
    if differing:
        raise CheckpointError(
            f"{path}: belongs to another run ({'; '.join(differing)}); delete the file or name another one"
        )
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["random"])
    return step
