"""Tars of samples, as WebDataset reads them: `000.jpg` and `000.txt` (or `000.json`) form one sample with key `000`.

A tar, plain or packed (`.tar.gz`, `.tar.zst`, …), is one source and one chunk. All headers are read first, then the
samples one by one, so the order of members does not matter. A sample's key is the path of its members up to the first
dot of the base name. Its row is the position of the key among those of the tar, in order of first appearance. The image
is the member with an image suffix. The caption is a text (`TEXTS`), or else a field of a `.json`, which is found by its
name: a text or a list of texts. `--caption-col` names another field, which then comes before a text, or the suffix of
the texts. If a key has several images or captions, each is a separate sample: `000`, `000#1`, …. Members such as
`000.seg.png` beside a `000.jpg` are other fields of the sample and are not read, unless they have a caption of their
own: `photo_1.5x.jpg` with `photo_1.5x.txt` is a sample beside `photo_1.jpg`. If a key has one image and one text, they
belong together, whatever their names are (`000.input.jpg` and `000.output.txt`).
Capital letters make no difference to a suffix. Keys of an image and of a caption that differ only in the form of their
accents are one key.

A repeated member name makes another sample with the same key: the second image belongs to the second caption. If one is
repeated more often than the other, captions cannot be assigned, and all samples of that key are rejected
(`duplicate-key`).

Nothing is unpacked to files, so absolute paths and `..` in names do no harm. Folders, hidden files (`.x`, macOS's
`._x`, `__MACOSX/`) and files without a suffix are ignored. A hard link to a file before it in the tar is that file.
Other links are not followed: a sample whose image or caption is one, or a sparse or special file, is rejected
(`bad-member`).

Each unreadable stretch of a tar becomes a rejected row (`bad-tar`, with its offset), and reading continues after it. A
missing end and a later file of the input that is not a tar also become such a row. The last rows of a tar are the
failed downloads that img2dataset's `000.parquet` beside it lists.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import PurePosixPath
from tempfile import TemporaryFile
from typing import Any, BinaryIO

import pyarrow as pa

from pipeline import storage
from pipeline.errors import InputError
from pipeline.fileformats import compression, sniff, tar
from pipeline.fileformats.tar import Damage, Member
from pipeline.sample import (
    IMAGE_SUFFIXES,
    MAX_IMAGE_BYTES,
    UNNAMED_IMAGE,
    Chunk,
    Reject,
    Sample,
    Source,
    Taken,
    too_large,
)
from pipeline.sources import SourceOptions, captions, columns, field_names, img2dataset, names, records
from pipeline.sources.captions import Caption
from pipeline.storage import File, Listing

CONTENT = frozenset(["tar", *compression.KINDS])
IMAGE_ENDS = (*IMAGE_SUFFIXES, UNNAMED_IMAGE)
TELLS_ROWS_AT_ONCE = False
TEXTS = (".txt", ".text", ".caption")
RECORD = ".json"
MAX_MEMBERS = 1_000_000
"""limit for one tar, which bounds the memory for its headers"""
NAMES_IN_MESSAGE = 3
IMAGES = "the image members"
NOTHING = Taken(IMAGES, None)


def claims(listing: Listing) -> Sequence[File]:
    return [file for file in listing.files if file.path.lower().endswith(img2dataset.ARCHIVES)]


def plan(listing: Listing, options: SourceOptions) -> Sequence[Chunk]:
    """One chunk per tar. The first tar with a sample decides if the input has captions and which fields are kept."""
    logs = img2dataset.logs(listing)
    sources = [img2dataset.with_log(_source(file), logs.get(_stem(file))) for file in claims(listing) or listing.files]
    looks = ((source, _look_at(source, options)) for source in sources)
    first, found = next((look for look in looks if look[1].samples), (sources[0], _Found()))
    kept = records.kept_schema(found.records, _kept_names(first, found, options))
    return [Chunk((source,), taken=found.taken, kept=kept, caption_field=found.caption_field) for source in sources]


def kept_columns(chunks: Sequence[Chunk], _options: SourceOptions) -> pa.Schema:
    return chunks[0].kept


def read(chunk: Chunk, options: SourceOptions) -> Iterator[Sample]:
    (source,) = chunk.sources
    try:
        with _opened(source) as (file, cut):
            samples = list(_entries(chain(tar.scan(file), cut), _caption_suffixes(options)))
            _require_tar(source, samples)
            reader = _Reader(source, file, chunk, options.captions)
            yield from reader.samples(samples)
    except _NotATarError as error:
        if not chunk.is_done(source.path, 0):
            yield Sample(source, 0, 1, source.path, None, None, reject=Reject("read", "bad-tar", str(error)))


class _NotATarError(InputError):
    """The file has no tar member."""


@dataclass(slots=True)
class _Entry:
    """The members of one sample, by the part of their names that follows the key."""

    key: str
    captions: Sequence[str]
    """the suffixes of captions, the best first"""
    occurrence: int
    """number of samples of this key before this one"""
    members: dict[str, Member] = field(default_factory=dict)
    """images and captions, by suffix as it is written, `.jpg` or `.v2.jpg`"""
    others: list[str] = field(default_factory=list)
    """names of other members, at most NAMES_IN_MESSAGE, for messages"""
    ambiguous: bool = False

    def images(self) -> tuple[list[str], list[str]]:
        """(the suffixes of the images, those of images that are fields of the sample)."""
        suffixes = [suffix for suffix in self.members if suffix.lower().endswith(IMAGE_ENDS)]
        plain = [suffix for suffix in suffixes if suffix.lower() in IMAGE_ENDS] or suffixes
        return plain, [suffix for suffix in suffixes if suffix not in plain]

    def caption(self, image: str | None) -> Member | None:
        """The member with the caption of an image: that of the image's name, or else that of the key."""
        return self.own_caption(image) or self._first("", self.captions, image) or self._only_caption()

    def _only_caption(self) -> Member | None:
        """The caption of a key with one image and one caption that have different names."""
        if len([*chain(*self.images())]) != 1:
            return None
        for suffixes in (tuple(suffix for suffix in self.captions if suffix != RECORD), RECORD):
            found = [member for name, member in self.members.items() if name.lower().endswith(suffixes)]
            if found:
                return found[0] if len(found) == 1 else None
        return None

    def own_caption(self, image: str | None) -> Member | None:
        return None if image is None else self._first(_stem_of(image), self.captions, image)

    def record(self, image: str | None) -> Member | None:
        own = None if image is None else self._first(_stem_of(image), (RECORD,), image)
        return own or self._first("", (RECORD,), image)

    def _first(self, stem: str, suffixes: Sequence[str], image: str | None) -> Member | None:
        """The first member there is of a stem and these suffixes, in capitals rather if the image's suffix is."""
        for suffix in suffixes:
            found = [name for name in self.members if name.lower() == f"{stem}{suffix}".lower()]
            if found:
                capitals = image is not None and image[len(stem) :].isupper()
                return self.members[min(found, key=lambda name: name[len(stem) :].isupper() != capitals)]
        return None


def _stem_of(image: str) -> str:
    return image[: image.rindex(".")]


def _source(file: File) -> Source:
    return Source(file.path, file.uri, file.version, file.size)


def _stem(file: File) -> str:
    suffix = next((suffix for suffix in img2dataset.ARCHIVES if file.path.lower().endswith(suffix)), "")
    return file.path[: len(file.path) - len(suffix)]


@contextmanager
def _opened(source: Source) -> Iterator[tuple[BinaryIO, list[Damage]]]:
    """The tar on local disk, unpacked if it is packed, and the damage found while unpacking."""
    with storage.local_copy(source.uri) as path, path.open("rb") as file:
        kind = compression.kind(file.read(sniff.HEAD_BYTES))
        if kind is not None:
            with TemporaryFile(prefix="siglane-") as unpacked:
                most = compression.limit(source.size, compression.IMAGE_RATIO)
                problem = compression.unpack(file, unpacked, kind, most)
                yield unpacked, [Damage(unpacked.tell(), problem)] if problem else []
        else:
            yield file, []


def _caption_suffixes(options: SourceOptions) -> Sequence[str]:
    """The suffixes of members with captions, the best first."""
    named = options.caption_col
    if named is None:
        return (*TEXTS, RECORD)
    return (named.lower(),) if named.startswith(".") else (RECORD, *TEXTS)


def _entries(items: Iterable[Member | Damage], captions: Sequence[str]) -> Iterator[_Entry | Damage]:
    """The samples and damaged stretches, which become rows, in order of first appearance."""
    entries: list[_Entry | Damage] = []
    by_key: dict[str, list[_Entry]] = {}
    seen: Counter[str] = Counter()
    for count, item in enumerate(items):
        if count == MAX_MEMBERS:
            message = f"more than {MAX_MEMBERS} members: those from byte {item.offset} on are not read; split the tar"
            entries.append(Damage(item.offset, message))
            break
        if isinstance(item, Damage):
            entries.append(item)
            continue
        key, suffix = _split(item)
        if not suffix:
            continue
        same = by_key.setdefault(key, [])
        occurrence = seen[key + suffix]
        seen[key + suffix] += 1
        if occurrence == len(same):
            same.append(_Entry(key, captions, occurrence))
            entries.append(same[occurrence])
        _add(same[occurrence], item, suffix)
    joined = _joined_spellings(by_key)
    for same in by_key.values():
        if len(same) > 1 and any(entry.members.keys() != same[0].members.keys() for entry in same):
            for entry in same:
                entry.ambiguous = True
    return (entry for entry in entries if id(entry) not in joined)


def _joined_spellings(by_key: Mapping[str, Sequence[_Entry]]) -> set[int]:
    """Joins the image of one key with the captions of another that differs only in the form of its accents.

    Returns the `id` of each entry that became part of another.
    """
    alike: dict[str, list[_Entry]] = {}
    for key, same in by_key.items():
        if not key.isascii():
            alike.setdefault(names.composed(key), []).extend(same)
    joined: set[int] = set()
    for some in alike.values():
        if len(some) == 2 and some[0].key != some[1].key:
            image, rest = some if any(some[0].images()) else reversed(some)
            if not any(rest.images()) and image.caption(None) is None:
                image.members.update(rest.members)
                joined.add(id(rest))
    return joined


def _add(entry: _Entry, member: Member, suffix: str) -> None:
    if suffix.lower().endswith((*IMAGE_ENDS, RECORD, *entry.captions)):
        entry.members[suffix] = member
    elif len(entry.others) < NAMES_IN_MESSAGE:
        entry.others.append(member.name)


def _split(member: Member) -> tuple[str, str]:
    """(key, suffix) of a member. The suffix is empty for a member that is ignored."""
    name = member.name
    while name.startswith("./"):
        name = name[2:]
    *folders, base = name.split("/")
    dotted = name.startswith(".") or "/." in name
    hidden = dotted and any(part.startswith(".") and part not in (".", "..") for part in (*folders, base))
    if member.kind == "folder" or hidden or "__MACOSX" in folders:
        return name, ""
    stem, _, suffix = base.partition(".")
    return "/".join([*folders, stem]), f".{suffix}" if suffix else ""


def _is_record(member: Member) -> bool:
    return member.name.lower().endswith(RECORD)


def _require_tar(source: Source, entries: Sequence[_Entry | Damage]) -> None:
    if entries and isinstance(entries[-1], Damage) and all(isinstance(entry, Damage) for entry in entries):
        kind = sniff.of_file(source.uri)
        damage = f" ({entries[-1].message})" if kind in compression.KINDS else ""
        raise _NotATarError(
            f"{source.path}: not readable as a tar: looks like {kind}{damage}; "
            "fix or remove the file, or choose another format with --input-format"
        )


@dataclass(frozen=True)
class _Found:
    """What the first tar shows about the input."""

    samples: int = 0
    taken: Taken = NOTHING
    caption_field: str = "caption"
    records: Sequence[Mapping[str, Any]] = ()
    """its first JSON record, if it has one"""


def _look_at(source: Source, options: SourceOptions) -> _Found:
    """Reads the first tar's headers, and its records until one has a caption, unless a text file has one.

    Raises:
        InputError: it is not a tar.
    """
    with _opened(source) as (file, cut):
        entries = list(_entries(chain(tar.scan(file), cut), _caption_suffixes(options)))
        _require_tar(source, entries)
        reader = _Reader(source, file, Chunk((source,)))
        samples = [entry for entry in entries if isinstance(entry, _Entry)]
        found = (record for entry in samples if (record := reader.record(entry)) is not None)
        first = next(found, None)
        kept = [] if first is None else [first]
        texts = tuple(suffix for suffix in _caption_suffixes(options) if suffix != RECORD)
        if not options.captions:
            return _Found(len(samples), NOTHING, records=kept)
        if options.caption_col is None:
            _require_one_text(source, samples)
        if any(suffix.lower().endswith(texts) for entry in samples for suffix in entry.members):
            if first is None and options.caption_col is not None and not options.caption_col.startswith("."):
                raise InputError(
                    f"{source.path}: caption_col {options.caption_col}: no {RECORD} member has fields; leave it out to "
                    f"take the {' or '.join(texts)} members"
                )
            taken = Taken(IMAGES, f"the {' or '.join(texts)} members")
            return _Found(len(samples), taken, options.caption_col or _best_field(first or {}), kept)
        fields: dict[str, pa.DataType] = {}
        for record in chain([first or {}], found):
            field = options.caption_col or captions.field_of(record, f"{source.path}: its first record") or "caption"
            if record.get(field) is not None:
                return _Found(len(samples), Taken(IMAGES, f"field {field!r} of the {RECORD} members"), field, kept)
            fields |= {name: records.json_type(value) for name, value in record.items() if isinstance(value, str)}
    taken = Taken(IMAGES, None, columns.text_names(fields))
    return _Found(len(samples), taken, options.caption_col or "caption", kept)


def _require_one_text(source: Source, samples: Iterable[_Entry]) -> None:
    for entry in samples:
        found = [member for suffix, member in entry.members.items() if suffix.lower() in TEXTS]
        suffixes = sorted({PurePosixPath(text.name).suffix.lower() for text in found})
        if len(suffixes) > 1:
            choose = " or ".join(f"--caption-col {suffix}" for suffix in suffixes)
            names = " and ".join(records.shown(text.name) for text in found)
            raise InputError(f"{source.path}: {names} can both be the caption of one image; choose with {choose}")


def _best_field(record: Mapping[str, Any]) -> str:
    """The field of captions for samples without a text, in a tar that has texts."""
    found = field_names.CAPTIONS.among(record)
    return found[0] if len(found) == 1 else "caption"


def _kept_names(source: Source, found: _Found, options: SourceOptions) -> Sequence[str]:
    there = list(found.records[0]) if found.records else []
    if options.keep_cols is None:
        return [name for name in records.DEFAULT_KEPT if name in there]
    for name in options.keep_cols:
        if name not in there:
            has = f"its first record has {records.listed(there)}" if there else "it has no .json records"
            raise InputError(f"{source.path}: no field {name!r}; {has}; name other fields with --keep-cols")
    return options.keep_cols


@dataclass(frozen=True)
class _Reader:
    """Reads samples from a tar whose headers are known."""

    source: Source
    file: BinaryIO
    chunk: Chunk
    with_captions: bool = True

    def samples(self, entries: Sequence[_Entry | Damage]) -> Iterator[Sample]:
        failed = img2dataset.failures(self.source, self.chunk.kept)
        widths = [1 if isinstance(entry, Damage) else self._width(entry) for entry in entries]
        rows = sum(widths) + len(failed)
        row = 0
        for entry, width in zip(entries, widths, strict=True):
            if not self.chunk.is_done(self.source.path, row, row + width):
                for sample in self._of(entry, row, rows):
                    if not self.chunk.is_done(self.source.path, sample.row):
                        yield sample
            row += width
        for place, failure in enumerate(failed, row):
            if not self.chunk.is_done(self.source.path, place):
                yield failure.sample(self.source, place, rows)

    def record(self, entry: _Entry, image: str | None = None) -> Mapping[str, Any] | None:
        """The JSON record of a sample; None if there is none or it cannot be read."""
        member = entry.record(image)
        return None if member is None else self._record(member)

    def _record(self, member: Member) -> Mapping[str, Any] | None:
        if member.kind != "file" or member.size > captions.MAX_RECORD_BYTES:
            return None
        try:
            record = captions.parse(self._bytes(member))
        except ValueError:  # only the record's fields are lost; a caption in it is rejected elsewhere
            return None
        return record if isinstance(record, dict) else None

    def _images(self, entry: _Entry) -> list[str | None]:
        """The suffixes of the images that are samples: a field of another sample is one if it has its own caption."""
        plain, fields = entry.images()
        taken = {*plain, *(suffix for suffix in fields if self._is_captioned(entry.own_caption(suffix)))}
        return [suffix for suffix in entry.members if suffix in taken] or [None]

    def _is_captioned(self, member: Member | None) -> bool:
        if member is None or not _is_record(member):
            return member is not None
        return (self._record(member) or {}).get(self.chunk.caption_field) is not None

    def _caption(self, entry: _Entry, image: str | None) -> Member | None:
        return None if entry.ambiguous or not self.with_captions else entry.caption(image)

    def _width(self, entry: _Entry) -> int:
        """The number of samples in an entry: each image counts once per caption."""
        members = [self._caption(entry, image) for image in self._images(entry)]
        return sum(1 if m is None or not _is_record(m) else len(self._captions(m)) for m in members)

    def _of(self, entry: _Entry | Damage, row: int, rows: int) -> Iterator[Sample]:
        if isinstance(entry, Damage):
            message = f"{self.source.path}: {entry.message}"
            key = f"byte {entry.offset}"
            yield Sample(self.source, row, rows, key, None, None, reject=Reject("read", "bad-tar", message))
            return
        index = 0
        for image in self._images(entry):
            record = self.record(entry, image) or {}
            caption = self._caption(entry, image)
            found: list[Caption] = [(None, None)] if caption is None else self._captions(caption)
            data, broken = self._image(entry, image)
            for text, reject in found:
                place = (row + index, rows, index)
                yield self._sample(entry, record, image, data, text, broken or reject, place)
                index += 1

    def _sample(
        self,
        entry: _Entry,
        record: Mapping[str, Any],
        image: str | None,
        data: bytes | None,
        caption: str | None,
        reject: Reject | None,
        place: tuple[int, int, int],
    ) -> Sample:
        row, rows, index = place
        own = record.get(records.KEY)
        key = records.escaped(own if isinstance(own, str) and own else entry.key)
        width, height = (records.pixels(record.get(name)) for name in records.SIZES)
        uid = record.get(records.UID)
        member = next(iter(entry.members.values()), None) if image is None else entry.members[image]
        return Sample(
            self.source,
            row,
            rows,
            key=key if index == 0 else f"{key}#{index}",
            key_may_repeat=index > 0 or entry.occurrence > 0 or key != entry.key,
            image=data,
            caption=caption,
            uid=uid if isinstance(uid, str) and index == 0 else None,
            member=None if member is None else records.escaped(member.name),
            width=width,
            height=height,
            kept=records.kept(record, self.chunk.kept),
            reject=reject,
        )

    def _image(self, entry: _Entry, suffix: str | None) -> tuple[bytes | None, Reject | None]:
        if entry.ambiguous:
            message = f"key {records.shown(entry.key)!r} has repeated members, but not the same for each sample"
            return None, Reject("read", "duplicate-key", f"{self.source.path}: {message}")
        if suffix is None:
            return None, None if entry.members else self._without_image(entry)
        member = entry.members[suffix]
        if (reject := self._unreadable(member)) is not None:
            return None, reject
        if member.size > MAX_IMAGE_BYTES:
            return None, too_large(records.shown(member.name), member.size)
        return self._bytes(member) if self.chunk.with_images else None, None

    def _without_image(self, entry: _Entry) -> Reject:
        message = f"sample {records.shown(entry.key)!r} has no image, only {records.listed(entry.others)}"
        return Reject("read", "no-image", f"{self.source.path}: {message}")

    def _captions(self, member: Member) -> list[Caption]:
        """The captions of a text member or a record, at least one entry."""
        name = records.shown(member.name)
        if (reject := self._unreadable(member)) is not None:
            return [(None, reject)]
        if _is_record(member):
            if member.size > captions.MAX_RECORD_BYTES:
                return [(None, captions.too_long(name, member.size))]
            return captions.from_json(self._bytes(member), name, self.chunk.caption_field)
        if member.size > captions.MAX_BYTES:
            return [(None, captions.too_long(name, member.size))]
        return [captions.from_text(self._bytes(member), name)]

    def _unreadable(self, member: Member) -> Reject | None:
        """The reject of a member whose bytes cannot be read; None for others."""
        name = records.shown(member.name)
        if member.kind == "cut":
            message = f"{self.source.path}: {name}: its {member.size} bytes extend beyond the end of the tar"
            return Reject("read", "bad-tar", message)
        if member.kind != "file":
            what = "links are not followed" if member.kind == "link" else f"{member.kind} files are not read"
            return Reject("read", "bad-member", f"{self.source.path}: {name}: {what}")
        return None

    def _bytes(self, member: Member) -> bytes:
        self.file.seek(member.offset)
        return self.file.read(member.size)
