"""Train a SigLIP model on your own pairs or on drawn scenes, from scratch or from a checkpoint.

Running the same command again continues from the last saved training state.
"""

from __future__ import annotations

import json
import logging
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

import siglip_core
from jobs import command
from jobs.command import Result
from jobs.output import cannot_write
from pipeline import training
from pipeline.errors import InputError, UsageError
from pipeline.sources import InputOptions, SourceOptions
from pipeline.wording import counted
from scenes.plan import described
from scenes.stream import sample, sample_captions
from siglip_core import names
from siglip_core.precision import Precision, PrecisionChoice, fast_precision
from siglip_core.train_config import TrainConfig

if TYPE_CHECKING:
    from siglip_core.model import Siglip
    from siglip_core.train import Batch, Batches, Progress
    from siglip_core.variants import Spec

log = logging.getLogger(__name__)

_ABOUT_SCENES = {"near_misses", "simple_steps"}
_ABOUT_FILES = set(InputOptions.model_fields) - {"input"}
TOKENIZERS = ("spiece.model", "tokenizer.model", "tokenizer.json")
_TOKENIZER_SCENES = 20_000  # enough for hundreds of occurrences of each word
STATE, TEXT_STATE, LOG = "training-state.pt", "text-training-state.pt", "training-log.jsonl"


class TrainJob(InputOptions):
    """Every option of `siglane train`."""

    input: tuple[str, ...] = Field(
        (), description=InputOptions.model_fields["input"].description, json_schema_extra={"repeatable": True}
    )
    scenes: bool = Field(False, description="train on drawn scenes instead; every batch has new ones")
    near_misses: int = Field(
        0, ge=0, description="with --scenes: variants of each scene, changed in one attribute, in its batch"
    )
    simple_steps: int = Field(0, ge=0, description="with --scenes: first steps, in which each scene has only one thing")
    output: Path = Field(description="folder for the checkpoint, its log and the resumable training state")
    model: str | None = Field(None, description="checkpoint to start from: published id or folder")
    architecture: str | None = Field(
        None, description="train from scratch with the sizes of this published id, or folder with a config.json"
    )
    steps: int = Field(ge=1, description="optimiser steps on images and captions")
    batch_size: int = Field(128, ge=2, description="pairs per batch; each is a negative for all others")
    learning_rate: float = Field(
        TrainConfig.learning_rate, gt=0, description="peak learning rate; it falls to 0 along a cosine"
    )
    warmup_steps: int = Field(
        TrainConfig.warmup_steps,
        ge=0,
        description="steps in which the learning rate rises; for --text-steps, at most a tenth of them",
    )
    text_steps: int = Field(
        0, ge=0, description="first steps, in which only the text tower learns, from captions of the same image"
    )
    text_rate: float = Field(
        TrainConfig.text_rate, ge=0, description="the text tower's share of the learning rate after --text-steps"
    )
    weight_decay: float = Field(TrainConfig.weight_decay, ge=0, description="decoupled weight decay, on matrices only")
    precision: PrecisionChoice = Field(
        "auto", description="precision of matrix products; auto: bfloat16 where the hardware has units for it"
    )
    save_every: int = Field(TrainConfig.save_every, ge=1, description="steps between saved training states")
    seed: int = Field(0, description="seed of the initial weights, and of the order of pairs or of the scenes")

    @model_validator(mode="after")
    def _options_fit_together(self) -> TrainJob:
        if (self.model is None) == (self.architecture is None):
            raise ValueError(
                "give one of --model (to start from a checkpoint) and --architecture (to start from scratch)"
            )
        if bool(self.input) == self.scenes:
            raise ValueError("give one of --input (pairs of your own) and --scenes (drawn ones)")
        useless = _ABOUT_FILES if self.scenes else _ABOUT_SCENES
        # Compares values, so that the output of --print-config, which contains every default, is accepted.
        given = sorted(name for name in useless if getattr(self, name) != type(self).model_fields[name].default)
        if given:
            option = given[0].replace("_", "-")
            raise ValueError(f"--{option} has no effect {'with' if self.scenes else 'without'} --scenes: leave it out")
        if self.batch_size % (self.near_misses + 1):
            raise ValueError(
                f"batch_size {self.batch_size} is not a multiple of {self.near_misses + 1}, a scene and its near misses"
            )
        if self.simple_steps >= self.steps:
            raise ValueError(f"simple_steps {self.simple_steps} must be below steps {self.steps}, which include them")
        return self

    @property
    def beginning(self) -> str:
        """The value of --model or --architecture."""
        name = self.model or self.architecture
        assert name is not None
        return name


def train(options: TrainJob) -> Result:
    import torch

    from siglip_core import checkpoint
    from siglip_core.tokenizer import read_tokenizer
    from siglip_core.train import train as fit

    started = time.monotonic()
    if options.warmup_steps >= options.steps:
        raise UsageError(
            f"--warmup-steps {options.warmup_steps} must be below --steps {options.steps}, which include them; give a "
            "smaller number, e.g. --warmup-steps 0"
        )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    stages = _stages(options, fast_precision(device) if options.precision == "auto" else options.precision)
    spec = siglip_core.spec(options.beginning)
    pairs = _drawn_pairs(options, spec.preprocessing.resolution) if options.scenes else _own_pairs(options, spec)
    module = _beginning(options).to(device)
    try:
        options.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(options.output, error) from error
    if not any((options.output / stage.state).exists() for stage in stages):
        _write_tokenizer(options, pairs.captions)
    tokenizer = read_tokenizer(options.output, spec.text_length, spec.vocab_size)
    if tokenizer is None:
        raise InputError(f"{options.output}: the tokenizer is missing; delete the folder to start again")
    run = _identity(options, pairs, tokenizer.digest)
    losses: list[float] = []
    with (options.output / LOG).open("a", encoding="utf-8") as file:
        for stage in stages:
            batches = pairs.caption_batches if stage.name == "captions" else pairs.batches
            report = _reporter(losses, stage, lambda line: print(line, file=file, flush=True))
            fit(module, batches, tokenizer, stage.config, options.output / stage.state, report, run)
    checkpoint.save(module, options.output)
    how = {"device": device.type, "precision": stages[-1].config.precision}
    return _result(options, pairs, losses, how, time.monotonic() - started)


def _stages(options: TrainJob, precision: Precision) -> list[Stage]:
    """The stages to start or continue. Once the pairs have a saved state, training on captions alone is finished."""
    config = TrainConfig(
        steps=options.steps,
        learning_rate=options.learning_rate,
        warmup_steps=options.warmup_steps,
        weight_decay=options.weight_decay,
        text_rate=options.text_rate,
        precision=precision,
        save_every=options.save_every,
    )
    pairs = Stage("pairs", STATE, config)
    if not options.text_steps or (options.output / STATE).exists():
        return [pairs]
    # --warmup-steps is meant for the steps on pairs. Here it could use up most of the steps.
    warmup_steps = min(options.warmup_steps, options.text_steps // 10)
    config = replace(config, steps=options.text_steps, warmup_steps=warmup_steps, text_rate=1.0)
    return [Stage("captions", TEXT_STATE, config), pairs]


def _identity(options: TrainJob, pairs: Pairs, tokenizer_digest: str) -> dict[str, Any]:
    """What a saved training state must have in common with this run, besides the schedule, to be continued."""
    fields = {"seed", "batch_size", "text_steps", "scenes", "near_misses", "simple_steps"}
    return {**options.model_dump(include=fields), **pairs.counts, "tokenizer": tokenizer_digest}


@dataclass(frozen=True)
class Pairs:
    """The training data. `batches` (images with captions) and `caption_batches` (captions with other captions of the
    same images) start at a given step, counted from 0. `captions` gives all captions, to train a tokenizer."""

    batches: Batches
    caption_batches: Batches
    captions: Callable[[], Sequence[str]]
    name: str
    counts: dict[str, int]


@dataclass(frozen=True)
class Stage:
    """A part of the training that has its own schedule and its own resumable state."""

    name: str
    state: str
    config: TrainConfig


def _own_pairs(options: TrainJob, spec: Spec) -> Pairs:
    pairs = training.read_pairs(SourceOptions.part_of(options), spec.preprocessing)
    photos = len(pairs.images)
    if photos < options.batch_size:
        raise UsageError(
            f"batch_size {options.batch_size}: the input has only {counted(photos, 'photo')}; lower --batch-size"
        )
    if options.text_steps and pairs.reworded < options.batch_size:
        raise UsageError(
            f"text_steps: needs {options.batch_size} photos (batch_size) with two captions; "
            f"the input has {pairs.reworded}"
        )
    return Pairs(
        partial(pairs.batches, options.batch_size, options.seed),
        partial(pairs.caption_batches, options.batch_size, options.seed),
        lambda: sorted({caption for photo in pairs.captions for caption in photo}),
        f"{counted(photos, 'photo')} ({counted(pairs.left_out, 'pair')} left out)",
        {"photos": photos, "left_out": pairs.left_out},
    )


def _drawn_pairs(options: TrainJob, size: int) -> Pairs:
    draw = partial(sample, options.batch_size, options.seed, size=size, near=options.near_misses)

    def batches(step: int) -> Iterator[Batch]:
        simple = islice(draw(most_things=1, start=step), max(options.simple_steps - step, 0))
        return chain(simple, draw(start=max(options.simple_steps, step)))

    def caption_batches(step: int) -> Iterator[Batch]:
        return sample_captions(options.batch_size, options.seed, near=options.near_misses, start=step)

    def captions() -> list[str]:
        return [described(options.seed, "train", index)[1].text for index in range(_TOKENIZER_SCENES)]

    return Pairs(batches, caption_batches, captions, f"{options.steps * options.batch_size} drawn scenes", {})


def _beginning(options: TrainJob) -> Siglip:
    """The model before training, in float32."""
    from siglip_core.init import initialise
    from siglip_core.model import Siglip

    if options.model is not None:
        return siglip_core.load(options.model).module.requires_grad_(True)
    return initialise(Siglip(siglip_core.spec(options.beginning)), options.seed)


def _write_tokenizer(options: TrainJob, captions: Callable[[], Sequence[str]]) -> None:
    """Copies the tokenizer of the checkpoint or of the architecture's folder; else trains one on the captions."""
    folder = names.fetch(options.beginning) if options.model or Path(options.beginning).exists() else None
    own = [folder / name for name in TOKENIZERS if folder is not None and (folder / name).exists()]
    for file in own:
        shutil.copyfile(file, options.output / file.name)
    if not own:
        from siglip_core.tokenizer_training import train_tokenizer

        pieces = siglip_core.spec(options.beginning).vocab_size
        (options.output / TOKENIZERS[0]).write_bytes(train_tokenizer(captions(), pieces))


def _reporter(losses: list[float], stage: Stage, write: Callable[[str], None]) -> Callable[[Progress], None]:
    """Logs the mean loss of the last 50 steps, every 50 steps."""
    steps, first = stage.config.steps, len(losses)

    def report(progress: Progress) -> None:
        losses.append(progress.loss)
        if progress.step % 50 == 0 or progress.step in (1, steps):
            last = losses[first:][-50:]
            loss = sum(last) / len(last)
            record = {"stage": stage.name, "step": progress.step, "loss": loss, "learning_rate": progress.learning_rate}
            write(json.dumps(record | {"logit_scale": progress.logit_scale, "logit_bias": progress.logit_bias}))
            speed = f"{progress.pairs_per_second:.0f} pairs/s"
            log.info("%s, step %d of %d: loss %.4f, %s", stage.name, progress.step, steps, loss, speed)

    return report


def _result(options: TrainJob, pairs: Pairs, losses: list[float], how: Mapping[str, str], seconds: float) -> Result:
    summary = {
        "output": str(options.output),
        **pairs.counts,
        "steps": options.text_steps + options.steps,
        "steps_in_this_run": len(losses),
        "loss": losses[-1] if losses else None,
        **how,
        "seconds": round(seconds, 3),
    }
    last = f"loss {losses[-1]:.4f}" if losses else "training was already finished"
    return Result(
        summary, f"{options.output}: {counted(options.steps, 'step')} on {pairs.name}, {last}; {seconds:.1f} s"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(TrainJob, train, __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())
