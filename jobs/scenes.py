"""Write a dataset of drawn scenes whose captions are known to be true or false."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from jobs import command
from jobs.command import Result
from jobs.output import cannot_write
from pipeline.errors import UsageError
from pipeline.wording import counted
from scenes.dataset import write_dataset


class ScenesJob(BaseModel):
    """Every option of `siglane scenes`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    output: Path = Field(description="folder to write; it must be empty or not exist")
    count: int = Field(1000, ge=1, description="number of pictures")
    seed: int = Field(0, description="random seed; the same options give the same bytes")
    split: Literal["train", "test"] = Field(
        "train", description="train, or test: combinations of things that are never in train"
    )
    size: int = Field(64, ge=32, description="side of the square pictures in pixels")
    wrong_other: float = Field(0.0, ge=0, le=1, description="fraction of captions taken from another scene")
    wrong_similar: float = Field(0.0, ge=0, le=1, description="fraction of captions taken from a similar scene")
    wrong_attribute: float = Field(0.0, ge=0, le=1, description="fraction of captions with one attribute changed")
    layout: Literal["parquet", "folder"] = Field(
        "parquet", description="parquet, or folder: JPEGs with captions beside them"
    )
    processes: int = Field(1, ge=1, description="number of processes that draw")


def scenes(options: ScenesJob) -> Result:
    started = time.monotonic()
    wrong = {"other": options.wrong_other, "similar": options.wrong_similar, "attribute": options.wrong_attribute}
    try:
        write_dataset(
            options.output,
            options.count,
            options.seed,
            options.split,
            size=options.size,
            wrong=wrong,
            layout=options.layout,
            processes=options.processes,
        )
    except (FileExistsError, ValueError) as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise cannot_write(options.output, error) from error
    seconds = time.monotonic() - started
    summary = {"output": str(options.output), "count": options.count, "wrong": wrong, "seconds": round(seconds, 3)}
    false = f"{sum(wrong.values()):.0%} of the captions are wrong" if any(wrong.values()) else "all captions are true"
    text = f"{options.output}: {counted(options.count, 'scene')}, {false}; {options.count / seconds:.0f} scenes/s"
    if options.layout == "folder":
        text += f"; to embed them, give --input {options.output / 'images'}"
    return Result(summary, text)


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(ScenesJob, scenes, __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())
