"""Files that a command writes: all of it or nothing."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import SiglaneError


def require_folder(output: Path) -> None:
    """Raises SiglaneError where writing would fail only after the work is done."""
    if not output.parent.is_dir():
        raise SiglaneError(f"output {output}: there is no folder {output.parent}; make it, or check --output")


def write_whole(output: Path, content: bytes) -> None:
    """Under a temporary name, then moved: in place of a file that is there.

    Raises:
        SiglaneError: it cannot be written.
    """
    partial = output.with_name(f".{output.name}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(output)
    except OSError as error:
        raise SiglaneError(f"output {output}: {error.strerror}; check --output") from error
    finally:
        partial.unlink(missing_ok=True)
