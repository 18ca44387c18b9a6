"""Finds the caption file and the JSON record of each image of a folder, by their names.

Beside `images/dog.jpg`, these are files `images/dog.txt` and `images/dog.jpg.txt`, and `captions/dog.txt` in a folder
that stands for the images' folder or lies in it (`FOLDERS`). The suffix is one of `SUFFIXES`, in capitals or not. If no
file beside an image has exactly its name, one whose name differs in the form of its accents is taken.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath

from pipeline.errors import InputError
from pipeline.sources import img2dataset, names
from pipeline.storage import File

TEXTS = (".txt", ".caption")
RECORD = ".json"
SUFFIXES = (*TEXTS, RECORD)
NOTICES = ("readme", "license", "licence", "notice", "copying", "changelog", "citation")
"""how the names of texts about a dataset as a whole begin"""
FOLDERS = frozenset(["caption", "captions", "text", "texts", "txt"])


class Sidecars:
    """The sidecars of a listing.

    `named` is the user's `--caption-col`: the suffix of the caption files (`.caption`), or a field of the records.
    """

    def __init__(self, files: Iterable[File], named: str | None) -> None:
        self._suffix = named.lower() if named is not None and named.startswith(".") else None
        self._prefers_records = named is not None and self._suffix is None
        self.images: list[File] = []
        """the files that are not sidecars"""
        self._beside: dict[str, list[File]] = defaultdict(list)
        self._elsewhere: dict[tuple[str, str], list[File]] = defaultdict(list)
        self._images_of: dict[str, str] = {}
        """the folder of the images to which a caption file in another folder belongs"""
        self._belonging: set[str] = set()
        for file in files:
            if file.path.lower().endswith((*SUFFIXES, *([self._suffix] if self._suffix else []))):
                self._add(file)
            else:
                self.images.append(file)
        self._respelled = self._without_image()
        self._elsewhere_alike: dict[tuple[str, str], list[File]] = defaultdict(list)
        for place, found in self._elsewhere.items():
            if not "/".join(place).isascii():
                self._elsewhere_alike[_composed(place)] += found

    def of(self, image: File) -> tuple[File | None, File | None]:
        """(the file with the image's caption, its JSON record).

        Raises:
            InputError: several files can be its caption.
        """
        stem = without_suffix(image.path)
        near = [*self._beside.get(image.path, ()), *self._beside.get(stem, ())]
        if not near and self._respelled:
            near = self._respelled.get(names.composed(stem), [])
        near = _written_like(image, near)
        texts = [file for file in near if self._is_text(file)] or self._of_other_folders(image, stem)
        self._belonging.update(file.path for file in (*near, *texts))
        # `dog.jpg.txt` is more exact than `dog.txt`, which may be the caption of `dog.png`
        texts = [file for file in texts if file.path.startswith(image.path)] or texts
        record = next((file for file in near if file.path.lower().endswith(RECORD)), None)
        if record is not None and self._prefers_records:
            return record, record
        if len(texts) > 1:
            raise _several(image, texts)
        return (texts[0] if texts else None if self._suffix else record), record

    def stray(self) -> list[str]:
        """The sidecars that belong to none of the images for which `of` was asked, but for notices."""
        files = (file for files in self._beside.values() for file in files)
        return [file.path for file in files if file.path not in self._belonging and not _is_notice(file)]

    def _add(self, file: File) -> None:
        stem = without_suffix(file.path)
        self._beside[stem].append(file)
        if self._is_text(file):
            parts = stem.split("/")
            for place, folder in enumerate(parts[:-1]):
                if folder.lower() in FOLDERS:
                    self._elsewhere["/".join(parts[:place]), "/".join(parts[place + 1 :])].append(file)

    def _without_image(self) -> dict[str, list[File]]:
        """The sidecars with accents that have exactly the name of no image, by the one form of their name."""
        accented = [stem for stem in self._beside if not stem.isascii()]
        if not accented:
            return {}
        named = {name for image in self.images for name in (image.path, without_suffix(image.path))}
        return {names.composed(stem): self._beside[stem] for stem in accented if stem not in named}

    def _is_text(self, file: File) -> bool:
        return file.path.lower().endswith(TEXTS if self._suffix is None else self._suffix)

    def _of_other_folders(self, image: File, stem: str) -> list[File]:
        if not self._elsewhere:
            return []
        places = list(_places(image.path, stem))
        found = [file for place in places for file in self._elsewhere.get(place, ())]
        if not found and not stem.isascii():
            found = [file for place in places for file in self._elsewhere_alike.get(_composed(place), ())]
        folder = image.path.rpartition("/")[0]
        for file in found:
            other = self._images_of.setdefault(file.path, folder)
            if other != folder:
                raise InputError(
                    f"{file.path}: can be the caption of an image in {other or '.'} and of {image.path}; give one of "
                    "these folders as --input, with its captions in it"
                )
        return found


def _is_notice(file: File) -> bool:
    name = PurePosixPath(file.path).name.lower()
    return name.startswith(NOTICES) or name.endswith(img2dataset.STATISTICS)


def _written_like(image: File, files: Sequence[File]) -> list[File]:
    """One file of each name and suffix: that whose suffix is in capitals if the image's is, or else another."""
    capitals = PurePosixPath(image.path).suffix.isupper()
    found: dict[tuple[str, str], File] = {}
    for file in sorted(files, key=lambda file: PurePosixPath(file.path).suffix.isupper() != capitals):
        found.setdefault((without_suffix(file.path), PurePosixPath(file.path).suffix.lower()), file)
    return list(found.values())


def _composed(place: tuple[str, str]) -> tuple[str, str]:
    return names.composed(place[0]), names.composed(place[1])


def _places(path: str, stem: str) -> Iterator[tuple[str, str]]:
    """What the path of a caption file can be, without its folder of captions, as (above that folder, below it)."""
    for name in dict.fromkeys([stem, path]):
        parts = name.split("/")
        for place in range(len(parts)):
            above = "/".join(parts[:place])
            yield above, "/".join(parts[place:])
            if place + 1 < len(parts):
                yield above, "/".join(parts[place + 1 :])


def without_suffix(path: str) -> str:
    return path[: -len(suffix)] if (suffix := PurePosixPath(path).suffix) else path


def _several(image: File, texts: Sequence[File]) -> InputError:
    suffixes = sorted({PurePosixPath(file.path).suffix for file in texts})
    choose = " or ".join(f"--caption-col {suffix}" for suffix in suffixes)
    fix = f"choose with {choose}" if len(suffixes) > 1 else "remove all but one"
    return InputError(f"{image.path}: {' and '.join(file.path for file in texts)} can both be its caption; {fix}")
