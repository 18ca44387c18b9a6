"""Recognises by its name which field of an input holds images, URIs of images, or captions.

Capitals and surrounding spaces do not matter. A field is taken only if no other one has as good a name: between
`caption` and `text`, only the user can choose.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from pipeline.errors import InputError


@dataclass(frozen=True)
class Known:
    """The names of the fields that hold one thing."""

    what: str
    """for messages"""
    flag: str
    """the option that names the field"""
    names: Collection[str]
    second: Collection[str] = ()
    """names that count only if no field has one of `names`"""
    part: str | None = None
    """a word that counts like `second` if it is part of a name"""

    def among(self, fields: Iterable[str]) -> list[str]:
        """The fields with the best names. More than one are ambiguous."""
        plain = {field: field.strip().lower() for field in fields}
        best = [field for field, name in plain.items() if name in self.names]
        return best or [
            field
            for field, name in plain.items()
            if name in self.second or (self.part is not None and self.part in name)
        ]

    def only(self, fields: Iterable[str], where: str) -> str | None:
        """The field with the best name; None if no field has a known name.

        Raises:
            InputError: several fields have equally good names.
        """
        found = self.among(fields)
        if len(found) > 1:
            shown = [repr(name[:60]) for name in found[:5]]
            listed = f"{', '.join(shown[:-1])} and {shown[-1]}"
            raise InputError(f"{where}: {listed} can all be the {self.what}; choose one with {self.flag}")
        return found[0] if found else None


IMAGES = Known(
    "images",
    "--image-col",
    ("image", "images", "image_bytes", "image_data", "bytes", "img", "jpg", "jpeg", "png", "webp"),
)
URIS = Known(
    "URIs of images",
    "--url-col",
    (
        *(
            "url",
            "image_url",
            "img_url",
            "image",
            "images",
            "img",
            "image_path",
            "img_path",
            "image_file",
            "image_name",
        ),
        *("file_name", "filepath", "file_path"),
    ),
    second=("filename", "path", "uri"),
)
CAPTIONS = Known(
    "captions",
    "--caption-col",
    ("caption", "captions", "text", "texts", "txt", "sentence", "sentences"),
    second=("title", "description", "alt", "alt_text", "comment", "prompt"),
    part="caption",
)
