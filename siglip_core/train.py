"""A small trainer on the sigmoid loss: one process, from scratch or from a checkpoint, resumed bit for bit.

Where data comes from is the caller's business: `batches(step)` gives an iterator that begins at that step's
batch, so a resumed run sees what the uninterrupted one would have seen.
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
from siglip_core.train_config import Precision, TrainConfig

# What to match with B texts: images [B, S, S, 3], or B other texts on the same things.
Batch: TypeAlias = tuple[NDArray[np.uint8] | list[str], list[str]]
Batches: TypeAlias = Callable[[int], Iterator[Batch]]
Tokenize: TypeAlias = Callable[[list[str]], NDArray[np.int64]]

# SigLIP, arXiv 2303.15343, section 4.5: b2 = 0.95 instead of 0.999 keeps large batches stable.
_BETAS = (0.9, 0.95)


@dataclass(frozen=True)
class Progress:
    """One finished step. `step` counts from 1; `loss` is the batch's; scale is exp(t)."""

    step: int
    loss: float
    gradient_norm: float
    learning_rate: float
    logit_scale: float
    logit_bias: float
    pairs_per_second: float


def fast_precision(device: torch.device) -> Precision:
    """bfloat16 where a device has units for its matrix products, else float32.

    Without them they are emulated: siglip-pico trained at 15 pairs a second instead of 240, on two cores with AVX2.
    """
    if device.type == "cuda":
        has_units = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        units = torch.cpu.get_capabilities()
        has_units = any(units.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))  # the last: of ARM
    return "bfloat16" if has_units else "float32"


def train(
    model: Siglip,
    batches: Batches,
    tokenize: Tokenize,
    config: TrainConfig,
    state_file: Path | None = None,
    report: Callable[[Progress], None] | None = None,
    run: Mapping[str, Any] | None = None,
) -> None:
    """Trains the model in place, on the device it is on.

    Args:
        model: initialised (`init.initialise`) or loaded weights, in float32.
        batches: gives the batches from a step (counted from 0) onwards; images are of the model's resolution. With
            texts in the place of images the text tower learns alone: which two captions say the same.
        tokenize: texts to int64 [B, L].
        config: how.
        state_file: where weights, optimiser, step and random state are saved, every `save_every` steps and at
            the end, never half written. If it is there already, training goes on from it, and the model's
            weights are replaced by those in it.
        report: called after each step.
        run: what else belongs to this run, such as its data and tokenizer, in values that compare: a state saved
            with others is refused.

    Raises:
        SiglipError: the loss is not finite, or the batches end too early.
        CheckpointError: the state file is broken, or of a run with another config or another model.
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
    """One update; returns the loss before it and the gradient's norm before clipping."""
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
    """On a CPU, attention as plain matrix products: of its fused kernel the backward pass is slow there.

    Measured on two cores, 128 wide, 64 patches: 358 pairs a second instead of 292.
    """
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


def _groups(model: Siglip, config: TrainConfig) -> list[dict[str, Any]]:
    """Decay pulls matrices alone; biases, norms, probe, positions, t and b stay free."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = defaultdict(list)
    for name, parameter in model.named_parameters():
        matrix = parameter.ndim == 2 and not name.endswith("position_embedding")
        share = config.text_rate if name.startswith("text.") else 1.0
        groups[share, config.weight_decay if matrix else 0.0].append(parameter)
    return [{"params": group, "share": share, "weight_decay": decay} for (share, decay), group in groups.items()]


def _identity(model: Siglip, config: TrainConfig) -> dict[str, Any]:
    """What a state belongs to: resuming under another schedule or in another model is not resuming."""
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
    """Puts the saved state into model and optimiser; returns the number of finished steps."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        run, step = state["run"], int(state["step"])
    except Exception as error:  # unpickling damaged bytes raises almost anything
        raise CheckpointError(f"{path}: not a state of this trainer: {error}; delete it to start anew") from error
    differing = [f"{key} {run.get(key)} there, {here} here" for key, here in identity.items() if run.get(key) != here]
    if differing:
        raise CheckpointError(f"{path}: of another run ({'; '.join(differing)}); delete it or name another file")
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    torch.set_rng_state(state["random"])
    return step
