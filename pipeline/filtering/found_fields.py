"""Models with fields that the modules of a folder declare, as each kind of cut and each output does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, create_model

Model = TypeVar("Model", bound=BaseModel)


def with_fields(fields: Mapping[str, Any]) -> Callable[[type[Model]], type[Model]]:
    """Adds fields to the model below it: by name (type, default or `Field`), after those that it lists.

    A class statement cannot list what is only known once a folder has been searched. A type checker sees the class as
    it is written, so these fields are read by `getattr`, with a name that came from the folder too.
    """

    def add(model: type[Model]) -> type[Model]:
        whole: type[Model] = create_model(
            model.__name__, __base__=model, __module__=model.__module__, __doc__=model.__doc__, **fields
        )
        return whole

    return add
