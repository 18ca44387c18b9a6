"""Shared by sources with columns (Parquet, Lance, manifests): chooses the columns, and turns a row into samples.

Images are bytes (also as lists of numbers), structs of bytes and a path (as in Hugging Face datasets), URIs, or texts
of base64. Of a struct without bytes, the path is read. Captions are texts. Each can also be a list; every element is
then a separate sample, whose key from the second element on is `KEY#1`, `KEY#2`, …. If both are lists, the n-th image
belongs to the n-th caption.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import pyarrow as pa

from pipeline.errors import InputError
from pipeline.sample import MAX_IMAGE_BYTES, Reject, Sample, Source, Taken, too_large
from pipeline.sources import captions, field_names, inline, records
from pipeline.sources.captions import Caption

BYTES, PATH = "bytes", "path"
"""the fields of Hugging Face's structs of images"""
NEVER_CAPTIONS = frozenset(
    {
        "id",
        "image_id",
        "key",
        "uid",
        "url",
        "path",
        "file",
        "filename",
        "file_name",
        "filepath",
        "md5",
        "sha256",
        "hash",
        "exif",
        "status",
        "error_message",
        "split",
        "width",
        "height",
        "original_width",
        "original_height",
    }
)
"""names of text columns, in lower case, that say something else about an image"""


@dataclass(frozen=True)
class Wanted:
    """The columns that a user names; None means the default."""

    image: str | None
    url: str | None
    caption: str | None
    captions: bool
    """whether captions are wanted at all"""
    uid: str | None
    kept: Sequence[str] | None


@dataclass(frozen=True)
class Columns:
    """The columns of a source that are read, by purpose; None if the source has no such column."""

    image: str
    """a column of bytes, or of URIs"""
    is_uri: bool
    caption: str | None
    uid: str | None
    kept: tuple[str, ...]
    own: tuple[str, ...]
    """the existing columns among the key, the original sizes and a download's status"""
    many: str | None
    """the column of lists whose elements are samples: the image column, or else the caption column"""

    reads_image: bool = True

    def without_images(self) -> Columns:
        """The same without reading the images, unless they say how many samples there are."""
        return self if self.many == self.image else replace(self, reads_image=False)

    def read(self) -> list[str]:
        image = self.image if self.reads_image else None
        named = [name for name in (image, self.caption, self.uid) if name is not None]
        return list(dict.fromkeys([*named, *self.own, *self.kept]))


def choose(source: Source, found: pa.Schema, wanted: Wanted, kept_of_first: pa.Schema | None = None) -> Columns:
    """Chooses a source's columns.

    Args:
        source: named in errors.
        found: the source's columns.
        wanted: the columns that the user names.
        kept_of_first: the kept columns of the first file. If given, this file may lack them, and the captions and uids;
            they are then null.

    Raises:
        InputError: a column that the user names is missing, exists twice, or has another type.
    """
    names = found.names
    image, is_uri = _image(source, found, wanted)
    caption = (wanted.caption or _caption(source, found)) if wanted.captions else None
    uid = wanted.uid or (records.UID if records.UID in names else None)
    default_kept = [name for name in records.DEFAULT_KEPT if name in names]
    kept = tuple(default_kept if wanted.kept is None else wanted.kept)
    if kept_of_first is not None:
        caption, uid = (name if name in names else None for name in (caption, uid))
        kept = tuple(name for name in kept_of_first.names if name in names)
    download = (records.STATUS, records.ERROR) if {records.STATUS, records.ERROR} <= set(names) else ()
    own = tuple(name for name in (records.KEY, *records.SIZES, *download) if name in names)
    named = [("--caption-col", caption), ("--uid-col", uid), *(("--keep-cols", name) for name in (*kept, *own))]
    for flag, name in named:
        if name is not None:
            require(source, names, flag, name)
    if caption is not None and not _is_text(element(found.field(caption).type), null=True):
        kind = _shown(found.field(caption).type)
        raise InputError(
            f"{source.path}: column {caption!r} has type {kind}, not captions; give another with --caption-col"
        )
    lists = [name for name in (image, caption) if name is not None and is_list(found.field(name).type)]
    return Columns(image, is_uri, caption, uid, kept, own, lists[0] if lists else None)


def _image(source: Source, found: pa.Schema, wanted: Wanted) -> tuple[str, bool]:
    """(the column of images, whether its values are URIs)."""
    if wanted.url is not None:
        require(source, found.names, "--url-col", wanted.url)
        kind = plain(found.field(wanted.url).type)
        if not _is_text(element(kind)):
            raise InputError(
                f"{source.path}: column {wanted.url!r} has type {_shown(kind)}, not URIs; give another with --url-col"
            )
        return wanted.url, True
    if wanted.image is not None:
        require(source, found.names, "--image-col", wanted.image)
        kind = plain(found.field(wanted.image).type)
        if not _is_image(kind):
            raise InputError(
                f"{source.path}: column {wanted.image!r} has type {_shown(kind)}, not image bytes; give another with "
                "--image-col, or a column of URIs or base64 with --url-col"
            )
        return wanted.image, False
    if records.is_metadata(source.path) and records.FILE_NAME in found.names:
        return records.FILE_NAME, True
    for names, fits in ((field_names.IMAGES, _is_image), (field_names.URIS, lambda kind: _is_text(element(kind)))):
        name = _recognised(source, found, names, fits)
        if name is not None:
            return name, names is field_names.URIS
    has = records.listed([f"{records.shown(field.name, 60)} ({_shown(field.type)})" for field in found])
    raise InputError(
        f"{source.path}: no column of images among {has}; name a column of bytes with --image-col, or of URIs with "
        "--url-col"
    )


def _caption(source: Source, found: pa.Schema) -> str | None:
    """The column of captions, by its name. One of another type is given only if no column fits; it will be refused."""
    fitting = _recognised(source, found, field_names.CAPTIONS, lambda kind: _is_text(element(kind), null=True))
    unfit = (name for name in found.names if name.strip().lower() in field_names.CAPTIONS.names)
    return fitting or next(unfit, None)


def _recognised(
    source: Source, found: pa.Schema, names: field_names.Known, fits: Callable[[pa.DataType], bool]
) -> str | None:
    """The column of a fitting type that has one of these names.

    Raises:
        InputError: several columns do.
    """
    fitting = [name for name, kind in zip(found.names, found.types, strict=True) if fits(kind)]
    for name in names.among(fitting):
        require(source, found.names, names.flag, name)
    return names.only(fitting, source.path)


def require(source: Source, names: Sequence[str], flag: str, name: str) -> None:
    """Raises InputError unless there is exactly one column of this name."""
    if name not in names:
        raise InputError(f"{source.path}: no column {name!r}; it has {records.listed(names)}; name one with {flag}")
    if names.count(name) > 1:
        raise InputError(f"{source.path}: {names.count(name)} columns are named {name!r}; rename all but one of them")


def taken(found: pa.Schema, columns: Columns) -> Taken:
    """What a source's images and captions are taken from."""
    kind = "URIs" if columns.is_uri else "bytes"
    images = f"the {kind} in column {columns.image!r}"
    if columns.caption is not None:
        return Taken(images, f"column {columns.caption!r}")
    return Taken(images, None, text_names({field.name: field.type for field in found if field.name != columns.image}))


def text_names(found: Mapping[str, pa.DataType]) -> tuple[str, ...]:
    """The names of the fields that may be captions."""
    return tuple(name for name, kind in found.items() if is_texts(kind) and name.lower() not in NEVER_CAPTIONS)


def is_texts(kind: pa.DataType) -> bool:
    """Whether values are texts, or lists of them."""
    return _is_text(element(kind))


def kept_schema(found: pa.Schema, columns: Columns) -> pa.Schema:
    return pa.schema([pa.field(name, plain(found.field(name).type)) for name in columns.kept])


def kept(record: Mapping[str, Any], found: pa.Schema, wanted: pa.Schema) -> dict[str, Any]:
    """The kept values of a row, with the types of the first file (`wanted`); null for columns that this file lacks."""
    return {field.name: _kept_value(record.get(field.name), found, field) for field in wanted}


def _kept_value(value: Any, found: pa.Schema, field: pa.Field) -> Any:
    if value is not None and plain(found.field(field.name).type) != field.type:
        return records.fitting(value, field.type)
    return records.escaped(value) if pa.types.is_string(field.type) else value


def plain(kind: pa.DataType) -> pa.DataType:
    """The type without its encoding: `string` for every type of text, `binary` for every type of bytes.

    An extension type is the type that it is stored as, except that a UUID is a text.
    """
    if pa.types.is_dictionary(kind):
        return plain(kind.value_type)
    if (other := stored(kind)) != kind:
        return plain(other)
    if pa.types.is_large_string(kind) or kind == pa.string_view():
        return pa.string()
    if pa.types.is_large_binary(kind) or kind == pa.binary_view():
        return pa.binary()
    return kind


def _shown(kind: pa.DataType) -> str:
    """A type for messages: that of a struct may list thousands of fields."""
    return records.shown(str(plain(kind)), 100)


def stored(kind: pa.DataType) -> pa.DataType:
    """The type without extension types, as Lance takes it: a UUID is a text, any other type is what it is stored as."""
    return pa.string() if isinstance(kind, pa.UuidType) else _stored(kind)


def _stored(kind: pa.DataType) -> pa.DataType:
    """The type with each extension type, also inside of it, as that in which it is stored."""
    if isinstance(kind, pa.BaseExtensionType):
        return _stored(kind.storage_type)
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_stored(field.type)) for field in kind])
    for is_kind, make in ((pa.types.is_list, pa.list_), (pa.types.is_large_list, pa.large_list)):
        if is_kind(kind):
            return make(kind.value_field.with_type(_stored(kind.value_type)))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(kind.value_field.with_type(_stored(kind.value_type)), kind.list_size)
    return kind


def is_list(kind: pa.DataType) -> bool:
    """Whether the values are lists whose elements are samples."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind)) and not _is_list_of_bytes(kind)


def _is_list_of_bytes(kind: pa.DataType) -> bool:
    """Whether the values are bytes, written as lists of numbers."""
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(is_list) and kind.value_type == pa.uint8()


def element(kind: pa.DataType) -> pa.DataType:
    """The type of one sample's value, without its encoding: for a list, the type of its elements."""
    return plain(kind.value_type if is_list(kind) else kind)


def struct_fields(kind: pa.DataType) -> list[str]:
    """The fields that are read of images that are structs of bytes and a path; empty for other types."""
    one = element(kind)
    types = {field.name: plain(field.type) for field in one} if pa.types.is_struct(one) else {}
    if BYTES not in types:
        return []
    return [BYTES, PATH] if PATH in types and pa.types.is_string(types[PATH]) else [BYTES]


def _is_image(kind: pa.DataType) -> bool:
    one, fields = element(kind), struct_fields(kind)
    if not fields:
        return bool(pa.types.is_binary(one)) or _is_list_of_bytes(kind)
    data = plain(one.field(BYTES).type)
    return bool(pa.types.is_binary(data) or pa.types.is_string(data) or (PATH in fields and pa.types.is_null(data)))


def _is_text(kind: pa.DataType, null: bool = False) -> bool:
    binary = null and pa.types.is_binary(kind)
    return bool(pa.types.is_string(kind) or binary or (null and pa.types.is_null(kind)))


@dataclass(frozen=True)
class Unit:
    """One image and one caption of a row. The image is given as bytes or as a URI."""

    index: int
    """the number of the unit within its row, from 0"""
    image: bytes | None
    uri: str | None
    caption: str | None
    reject: Reject | None


def units(record: Mapping[str, Any], columns: Columns, where: str) -> Iterator[Unit]:
    """The samples of a row, at least one."""
    image = record.get(columns.image)
    text = record.get(columns.caption) if columns.caption is not None else None
    images, texts = _listed(image), _listed(text)
    if isinstance(image, list) or (image is None and columns.many == columns.image):
        found = [captions.checked(each, where) for each in texts]
        if len(texts) != len(images):
            found = found if len(texts) == 1 and not isinstance(text, list) else [_unequal(where, images, texts)]
            found *= len(images)
    else:
        found = [captions.checked(each, where) for each in texts]
        images *= len(texts)
    for index, (one, caption) in enumerate(zip(images, found, strict=True)):
        yield _unit(index, one, caption, columns, record, where)


def _unequal(where: str, images: Sequence[Any], texts: Sequence[Any]) -> Caption:
    if texts == [None]:
        return None, None
    message = f"{where}: {len(images)} images, but {len(texts)} captions; lists of both must have the same length"
    return None, Reject("read", "bad-caption", message)


def _listed(value: Any) -> list[Any]:
    return (value or [None]) if isinstance(value, list) else [value]


def _unit(index: int, image: Any, caption: Caption, columns: Columns, record: Mapping[str, Any], where: str) -> Unit:
    text, reject = caption
    address = image
    if isinstance(image, Mapping):  # the bytes, or else the path, as Hugging Face's datasets have it
        data = image.get(BYTES)
        image, address = (data, data) if data is not None else (None, image.get(PATH))
    elif isinstance(image, bytes):
        address = inline.text_of(image)
    if isinstance(address, str):
        return Unit(index, None, address, text, reject)
    if columns.is_uri:
        if image is not None:
            message = f"{where}: the image is neither a text nor a list of texts: {image!r:.100}"
            reject = reject or Reject("read", "bad-uri", message)
        return Unit(index, None, None, text, reject)
    if image is None:
        reject = _download_failed(record) or reject
    elif len(image) > MAX_IMAGE_BYTES:
        return Unit(index, None, None, text, too_large(columns.image, len(image)))
    return Unit(index, image, None, text, reject)


def _download_failed(record: Mapping[str, Any]) -> Reject | None:
    """The reject for an image that img2dataset could not download; None for others."""
    status = record.get(records.STATUS)
    if not isinstance(status, str) or not status.startswith("failed"):
        return None
    return Reject("read", "download", records.shown(f"{status}: {record.get(records.ERROR)}", 300))


def sample(
    source: Source, place: tuple[int, int | None, str], record: Mapping[str, Any], unit: Unit, columns: Columns
) -> Sample:
    """A unit of a row as a sample, without its kept columns.

    `place` is (source_row, number of samples in the source, the key used if the record has none).
    """
    row, rows, key = place
    own = record.get(records.KEY)
    own = own if isinstance(own, str | bytes | int | float) else None
    # the row's uid belongs to its first sample; other elements of a list get a uid from their key
    uid = record.get(columns.uid) if columns.uid is not None and unit.index == 0 else None
    width, height = (records.pixels(record.get(name)) for name in records.SIZES)
    named = key if own is None else str(records.escaped(own))
    return Sample(
        source,
        row,
        rows,
        key=f"{named}#{unit.index}" if unit.index else named,
        key_may_repeat=own is not None,
        image=unit.image,
        caption=unit.caption,
        uid=uid if isinstance(uid, str) else None,
        width=width,
        height=height,
        reject=unit.reject,
    )


def counted(pairs: Iterator[tuple[Sample, str | None]]) -> Iterator[tuple[Sample, str | None]]:
    """The pairs (sample, its URI) unchanged, except that the last sample gets the number of samples, `rows`."""
    last, count = next(pairs, None), 1
    for pair in pairs:
        if last is not None:
            yield last
        last, count = pair, count + 1
    if last is not None:
        yield replace(last[0], rows=count), last[1]


def values(column: pa.Array) -> list[Any]:
    """A column's values. A text that is not UTF-8 becomes bytes; a value that Python cannot represent becomes None."""
    if isinstance(column.type, pa.UuidType):
        return [None if value is None else str(UUID(bytes=value)) for value in column.storage.to_pylist()]
    if (kind := _stored(column.type)) != column.type:
        column = column.cast(kind)
    try:
        values: list[Any] = column.to_pylist()
    except (ValueError, OverflowError):
        return [_value(scalar) for scalar in column]
    return values


def rows(batch: pa.RecordBatch, names: Sequence[str], image: str) -> Iterator[dict[str, Any]]:
    """The rows of a batch as records of these columns; `image` is that of images."""
    found = [_images(batch[name]) if name == image else values(batch[name]) for name in names]
    return (dict(zip(names, row, strict=True)) for row in zip(*found, strict=True))


def _images(column: pa.Array) -> list[Any]:
    """The values of a column of images. Lists of numbers become bytes, or None if a number is missing."""
    if not _is_list_of_bytes(column.type):
        return values(column)
    found = (scalar.values for scalar in column)
    return [None if each is None or each.null_count else each.to_numpy().tobytes() for each in found]


def _value(scalar: pa.Scalar) -> Any:
    if isinstance(scalar, pa.DictionaryScalar):
        scalar = scalar.value
    if scalar.is_valid and struct_fields(scalar.type):  # an image's path need not be UTF-8
        if isinstance(scalar, pa.StructScalar):
            return {name: _value(scalar[name]) for name in scalar}
        return [_value(image) for image in scalar.values]
    try:
        return scalar.as_py()
    except (ValueError, OverflowError):
        return scalar.as_buffer().to_pybytes() if pa.types.is_string(plain(scalar.type)) else None
