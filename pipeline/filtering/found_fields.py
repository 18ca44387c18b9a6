"""Builds models with fields that the modules of a folder declare, e.g. one field per kind of cut or output."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, create_model

Model = TypeVar("Model", bound=BaseModel)


def with_fields(fields: Mapping[str, Any]) -> Callable[[type[Model]], type[Model]]:
    """A class decorator that adds fields to a model, after its own. `fields`: name -> (type, default or `Field`).

    A class statement cannot list fields that are known only after a folder was searched. A type checker sees only the
    class as written, so code reads these fields by `getattr`, with a name that also comes from the folder.
    """

    def add(model: type[Model]) -> type[Model]:
        extended: type[Model] = create_model(
            model.__name__, __base__=model, __module__=model.__module__, __doc__=model.__doc__, **fields
        )
        return extended

    return add
