import json
from pathlib import Path
from typing import Any

from siglip_core.errors import CheckpointError


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises CheckpointError if there is no file, or no object in it."""
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file; add the one that was published with the weights") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read as JSON: {error}; download the file again") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: has a JSON {type(value).__name__}, not an object; download the file again")
    return value


class Section:
    """A part of a JSON config: values by key, which are checked and have the publisher's defaults."""

    def __init__(self, path: Path, name: str, config: dict[str, Any]) -> None:
        self.path = path
        self.name = name
        values = config.get(name)
        if values is None:
            values = {}  # the config leaves out the section: every value is the default
        if not isinstance(values, dict):
            raise CheckpointError(f"{path}: {name} must be an object, not {type(values).__name__}")
        self.values: dict[str, Any] = values

    def positive(self, key: str, default: int | None) -> int:
        value = self.values.get(key, default)
        if isinstance(value, list) and len(value) == 2 and value[0] == value[1]:
            value = value[0]  # [224, 224] for a square size
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise CheckpointError(f"{self.path}: {self.name}.{key} is {value!r}; it must be a positive integer")
        return value

    def must_be(self, key: str, wanted: object) -> None:
        """Refuses a value that this implementation does not support, instead of computing something else."""
        value = self.values.get(key, wanted)
        if value != wanted:
            raise CheckpointError(
                f"{self.path}: {self.name}.{key} is {value!r}; only {wanted!r}, which every SigLIP has, is supported"
            )
