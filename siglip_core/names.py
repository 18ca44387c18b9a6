"""A model's name -> its path on this machine; downloads the model from the Hugging Face Hub if needed.

A name is a folder, a .npz file, a published id with or without `google/` and with or without `@revision` (a branch,
tag or commit), a bundled model's name, or any other repository's `owner/name` on the Hub.
"""

import difflib
from dataclasses import dataclass, replace
from pathlib import Path

from siglip_core.configs import read_spec
from siglip_core.errors import CheckpointError, SiglipError
from siglip_core.variants import PUBLISHED, Mode, Spec

# Checkpoints small enough to be part of this package, each a folder in the layout of transformers.
BUNDLED = Path(__file__).parent / "bundled"

_FILES = [
    "config.json",
    "preprocessor_config.json",
    "open_clip_config.json",
    "model*.safetensors",
    "model.safetensors.index.json",
    "open_clip_model.safetensors",
    "spiece.model",
    "tokenizer.model",
    "tokenizer.json",
]


@dataclass(frozen=True)
class HubId:
    """A repository on the Hub; revision None is its main branch."""

    repository: str
    revision: str | None = None

    def __str__(self) -> str:
        return f"{self.repository}@{self.revision}" if self.revision else self.repository


def parse(name_or_path: str | Path) -> Path | HubId:
    """The path or Hub id that a name stands for. Uses no network. An existing path comes before an id.

    Raises:
        SiglipError: the name is neither a path nor an id; the message shows similar ids.
    """
    path, name = Path(name_or_path), str(name_or_path)
    if name and path.exists():
        return path
    if (BUNDLED / name / "config.json").is_file():
        return BUNDLED / name
    repository, _, revision = name.partition("@")
    published = repository if "/" in repository else f"google/{repository}"
    if published in PUBLISHED:
        return HubId(published, revision or None)
    looks_like_path = isinstance(name_or_path, Path) or path.is_absolute() or name.startswith((".", "~"))
    if not looks_like_path and repository.count("/") == 1 and not repository.startswith("google/"):
        return HubId(repository, revision or None)
    known = [*PUBLISHED, *(entry.name for entry in _bundled())]
    near = difflib.get_close_matches(published, known, n=3, cutoff=0.5)
    raise SiglipError(
        f"{name}: no such folder, and no published model has this name; "
        + (f"similar names: {', '.join(near)}" if near and not looks_like_path else "give a folder or a published id")
    )


def describe(name_or_path: str | Path, mode: Mode) -> Spec:
    """A model's spec; a published model's files are not needed. Raises what `fetch` and `configs.read_spec` raise."""
    found = parse(name_or_path)
    if isinstance(found, HubId) and found.repository in PUBLISHED:
        return replace(PUBLISHED[found.repository], name=str(found)).in_mode(mode)
    return locate(name_or_path, mode)[1]


def locate(name_or_path: str | Path, mode: Mode) -> tuple[Path, Spec]:
    """A model's folder (or .npz file) and the spec read from it, which equals the one `describe` gives.

    Raises what `fetch` and `configs.read_spec` raise, and CheckpointError if a published model's files do not match
    `variants.PUBLISHED`.
    """
    found, path = parse(name_or_path), fetch(name_or_path)
    spec = read_spec(path)
    if isinstance(found, HubId):
        spec = replace(spec, name=str(found))
        published = PUBLISHED.get(found.repository)
        if published is not None and spec != replace(published, name=spec.name):
            raise CheckpointError(
                f"{path}: its config describes {spec}, but {found.repository} was published as {published}; if the "
                "files are right, give the folder instead of the name"
            )
    return path, spec.in_mode(mode)


def fetch(name_or_path: str | Path) -> Path:
    """The folder (or .npz file) of a model. Published weights are downloaded into huggingface_hub's cache; an
    interrupted download is resumed.

    Raises:
        SiglipError: the name is unknown, the repository or revision does not exist, the network cannot be reached, or
            the package huggingface_hub is not installed.
    """
    found = parse(name_or_path)
    return found if isinstance(found, Path) else _download(found)


def cached(name_or_path: str | Path) -> Path | None:
    """As `fetch`, but downloads nothing: None if the model is not on this machine."""
    found = parse(name_or_path)
    if isinstance(found, Path):
        return found
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import LocalEntryNotFoundError
    except ImportError:
        return None
    try:
        folder = Path(snapshot_download(found.repository, revision=found.revision, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    return folder if list(folder.glob("*.safetensors")) else None  # a config without weights is not a model


def _download(model: HubId) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
    except ImportError as error:
        raise SiglipError(
            f"{model.repository}: the download needs the package huggingface_hub; pip install huggingface_hub, or give "
            "a folder"
        ) from error
    try:
        return Path(snapshot_download(model.repository, revision=model.revision, allow_patterns=_FILES))
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        raise SiglipError(
            f"{model}: not a folder, not in the cache, and the Hugging Face Hub cannot be reached; download it on a "
            f"machine with a network (`hf download {model.repository} --local-dir FOLDER`) and give FOLDER instead"
        ) from error
    except HfHubHTTPError as error:
        raise SiglipError(
            f"{model}: the Hugging Face Hub refused the request: {str(error).splitlines()[0]}; check the name, the "
            "revision and your access, or give a folder"
        ) from error
    except Exception as error:  # a broken connection or a full disk can raise almost anything
        raise SiglipError(
            f"{model}: the download failed: {type(error).__name__}: {error}; run the command again to resume it, or "
            "give a folder"
        ) from error


def _bundled() -> list[Path]:
    return sorted(BUNDLED.iterdir()) if BUNDLED.is_dir() else []
