"""Draw one image as a model sees it: patches, position embeddings, attention, and the scores of captions."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

from jobs import command
from jobs.command import Result
from jobs.output import require_folder, write_whole
from pipeline.errors import InputError, SiglaneError
from siglip_core import ImageError

_SUFFIXES = (".html", ".png")


class InspectJob(BaseModel):
    """Every option of `siglane inspect`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(description="folder of the model, or a name from `siglane models`")
    image: Path = Field(description="image file")
    output: Path = Field(description="FILE.html (one self-contained page) or FILE.png to write")
    caption: tuple[str, ...] = Field(
        (), max_length=100, description="text to score against the image", json_schema_extra={"repeatable": True}
    )

    @field_validator("output")
    @classmethod
    def _page_or_picture(cls, output: Path) -> Path:
        if output.suffix.lower() not in _SUFFIXES:
            raise ValueError(f"the name must end in {' or '.join(_SUFFIXES)}")
        return output


def inspect(options: InspectJob) -> Result:
    data = _read(options.image)
    _check(options.output, options.image)

    import siglip_core
    from siglip_core import inspection

    try:
        seen = inspection.inspect(siglip_core.load(options.model), data, list(options.caption))
    except ImageError as error:
        raise InputError(f"image {options.image}: {error}") from error
    name = options.image.name
    if options.output.suffix.lower() == ".html":
        drawn = inspection.to_html(seen, name).encode()
    else:
        drawn = inspection.to_png(seen, name)
    write_whole(options.output, drawn)
    summary = {
        "output": str(options.output),
        "image": str(options.image),
        "model": seen.model,
        "width": seen.width,
        "height": seen.height,
        "patches": {"rows": seen.rows, "columns": seen.columns, "size": seen.patch_size},
        "captions": [asdict(score) for score in seen.captions],
    }
    lines = [
        f"cosine {score.cosine:.4f}  logit {score.logit:.2f}  probability {score.probability:.3g}  "
        f"{' '.join(score.caption.split())}"
        for score in seen.captions
    ]
    return Result(summary, "\n".join([*lines, f"wrote {options.output}"]))


def _read(image: Path) -> bytes:
    try:
        return image.read_bytes()
    except OSError as error:
        raise InputError(f"image {image}: {error.strerror}; check --image") from error


def _check(output: Path, image: Path) -> None:
    """Finds before the work starts that the folder is missing, or that the output would overwrite the image."""
    require_folder(output)
    if output.exists() and output.samefile(image):
        raise SiglaneError(f"output {output}: this is the input image; name another file with --output")


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(InspectJob, inspect, __doc__ or "", arguments)


if __name__ == "__main__":
    sys.exit(main())
