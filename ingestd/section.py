"""Edge: what a table of the config is."""

import ast
import inspect
import os
from itertools import pairwise
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ingestd.files import NOT_TEXT, as_text

MOST = 1 << 60  #: of bytes and the like: what is more is a slip, and more than the kernel takes
Seconds = Annotated[float, Field(gt=0, le=10 * 365 * 86_400)]


class Section(BaseModel):
    """A table of the config; frozen, and an unknown key is an error."""

    # Each is built with the config that it is part of, or when somebody makes one of it alone.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    @field_validator("*", mode="before")
    @classmethod
    def _without_nul(cls, given: object) -> object:
        """No path, name or argument can hold one; Python would say so much later."""
        words = given if isinstance(given, list) else [given]
        if any(isinstance(word, str) and "\0" in word for word in words):
            raise ValueError("must hold no NUL character")
        return given


def meanings(section: type[Section]) -> dict[str, str]:
    """Give what each key of a section means: the string below it in the source.

    pydantic would read the source for it whenever the program starts.
    """
    (body,) = ast.parse(inspect.getsource(section)).body
    assert isinstance(body, ast.ClassDef), "a section is a class"
    return {
        key.target.id: inspect.cleandoc(below.value.value)
        for key, below in pairwise(body.body)
        if isinstance(key, ast.AnnAssign)
        and isinstance(key.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
        and isinstance(below.value.value, str)
    }


def absolute(path: Path | None) -> Path | None:
    """Tidy a path that must be absolute."""
    if path is None:
        return None
    if not path.is_absolute():
        raise ValueError("must be an absolute path")
    if as_text(str(path)) != str(path):
        raise ValueError(NOT_TEXT)
    return Path(os.path.normpath(path))
