"""Writes a command's output file completely or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import SiglaneError


def require_folder(output: Path) -> None:
    """Checks before the work starts that the folder of `output` exists.

    Raises:
        SiglaneError: it does not.
    """
    if not output.parent.is_dir():
        raise SiglaneError(f"output {output}: folder {output.parent} does not exist; create it, or check --output")


@contextmanager
def whole_file(output: Path) -> Iterator[Path]:
    """Gives the path of a temporary file to write. At the end of the block it becomes `output`, replacing any file.

    Raises:
        SiglaneError: the file cannot be written.
    """
    partial = output.with_name(f".{output.name}.partial")
    try:
        yield partial
        partial.replace(output)
    except OSError as error:
        raise cannot_write(output, error) from error
    finally:
        partial.unlink(missing_ok=True)


def cannot_write(output: Path, error: OSError) -> SiglaneError:
    """The error for an output that the operating system refuses to create or write."""
    return SiglaneError(f"output {output}: cannot be written: {error.strerror}; choose another --output")


def write_whole(output: Path, content: bytes) -> None:
    """Writes a file as `whole_file` does.

    Raises:
        SiglaneError: the file cannot be written.
    """
    with whole_file(output) as partial:
        partial.write_bytes(content)
