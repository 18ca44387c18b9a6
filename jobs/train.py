"""Train a SigLIP on pairs of one's own, from scratch or from a checkpoint.

Running the same command again goes on from the last saved state.
"""

from __future__ import annotations

import json
import logging
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

import siglip_core
from jobs import command
from jobs.command import Result
from pipeline import training
from pipeline.errors import UsageError
from pipeline.sources import SourceOptions
from pipeline.training import TrainingPairs
from siglip_core import names

if TYPE_CHECKING:
    from siglip_core.model import Siglip
    from siglip_core.train import Progress

log = logging.getLogger(__name__)

TOKENIZERS = ("spiece.model", "tokenizer.model", "tokenizer.json")
STATE, LOG = "training-state.pt", "training-log.jsonl"


class TrainJob(SourceOptions):
    """Every option of `siglane train`."""

    output: Path = Field(description="folder to write the checkpoint, its log and its resumable state to")
    model: str | None = Field(None, description="checkpoint to go on from: published id or folder")
    architecture: str | None = Field(
        None, description="train from scratch in the sizes of this published id, or folder with a config.json"
    )
    steps: int = Field(description="optimiser steps in all")
    batch_size: int = Field(128, ge=2, description="pairs in a batch: each is a negative of all others")
    learning_rate: float = Field(1e-3, gt=0, description="at its top; it falls to 0 along a cosine")
    warmup_steps: int = Field(200, ge=0, description="steps in which the learning rate rises")
    weight_decay: float = Field(0.1, ge=0, description="decoupled, on matrices alone")
    precision: Literal["float32", "bfloat16"] = Field("float32", description="of matrix products")
    save_every: int = Field(500, ge=1, description="steps between saved states")
    seed: int = Field(0, description="of the initial weights and the order of pairs")

    @model_validator(mode="after")
    def _one_beginning(self) -> TrainJob:
        if (self.model is None) == (self.architecture is None):
            raise ValueError(
                "give one of --model (to go on from a checkpoint) and --architecture (to begin from scratch)"
            )
        return self


def train(options: TrainJob) -> Result:
    from siglip_core import checkpoint
    from siglip_core.train import TrainConfig
    from siglip_core.train import train as fit

    started = time.monotonic()
    beginning = options.model or options.architecture
    assert beginning is not None
    pairs = training.read_pairs(options, siglip_core.spec(beginning).preprocessing)
    if len(pairs.images) < options.batch_size:
        raise UsageError(f"batch_size {options.batch_size}: the input has {len(pairs.images)} photos; give fewer")
    options.output.mkdir(parents=True, exist_ok=True)
    _write_tokenizer(options, pairs)
    module = _beginning(options)
    losses: list[float] = []
    config = TrainConfig(
        steps=options.steps,
        learning_rate=options.learning_rate,
        warmup_steps=options.warmup_steps,
        weight_decay=options.weight_decay,
        precision=options.precision,
        save_every=options.save_every,
    )
    checkpoint.save(module, options.output)
    tokenizer = siglip_core.load(options.output).tokenizer
    assert tokenizer is not None, "it was written above"
    with (options.output / LOG).open("a", encoding="utf-8") as file:
        fit(
            module,
            partial(pairs.batches, options.batch_size, options.seed),
            tokenizer,
            config,
            options.output / STATE,
            _reporter(losses, options.steps, lambda line: print(line, file=file, flush=True)),
        )
    checkpoint.save(module, options.output)
    return _result(options, pairs, losses, time.monotonic() - started)


def _beginning(options: TrainJob) -> Siglip:
    """The model in its first state, in float32."""
    from siglip_core.init import initialise
    from siglip_core.model import Siglip

    if options.model is not None:
        return siglip_core.load(options.model).module.requires_grad_(True)
    assert options.architecture is not None
    return initialise(Siglip(siglip_core.spec(options.architecture)), options.seed)


def _write_tokenizer(options: TrainJob, pairs: TrainingPairs) -> None:
    """Puts the beginning's own tokenizer into the output; from scratch and without one, trains one on the captions."""
    beginning = options.model or options.architecture
    assert beginning is not None
    folder = names.fetch(beginning) if options.model is not None or Path(beginning).exists() else None
    own = [folder / name for name in TOKENIZERS if folder is not None and (folder / name).exists()]
    for file in own:
        shutil.copyfile(file, options.output / file.name)
    if not own:
        from siglip_core.tokenizer_training import train_tokenizer

        captions = sorted({caption for photo in pairs.captions for caption in photo})
        pieces = siglip_core.spec(beginning).vocab_size
        (options.output / TOKENIZERS[0]).write_bytes(train_tokenizer(captions, pieces))


def _reporter(losses: list[float], steps: int, write: Callable[[str], None]) -> Callable[[Progress], None]:
    def report(progress: Progress) -> None:
        losses.append(progress.loss)
        if progress.step % 50 == 0 or progress.step in (1, steps):
            record = {"step": progress.step, "loss": progress.loss, "learning_rate": progress.learning_rate}
            write(json.dumps(record | {"logit_scale": progress.logit_scale, "logit_bias": progress.logit_bias}))
            log.info(
                "step %d of %d: loss %.4f, %.0f pairs/s", progress.step, steps, progress.loss, progress.pairs_per_second
            )

    return report


def _result(options: TrainJob, pairs: TrainingPairs, losses: list[float], seconds: float) -> Result:
    summary = {
        "output": str(options.output),
        "photos": len(pairs.images),
        "left_out": pairs.left_out,
        "steps": options.steps,
        "steps_in_this_run": len(losses),
        "loss": losses[-1] if losses else None,
        "seconds": round(seconds, 3),
    }
    last = f"loss {losses[-1]:.4f}" if losses else "it was finished already"
    return Result(
        summary,
        f"{options.output}: {options.steps} steps on {len(pairs.images)} photos ({pairs.left_out} pairs left out), "
        f"{last}; {seconds:.1f} s",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(TrainJob, train, __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())
