"""Plans a dataset: its scenes and the caption of each, before anything is drawn.

Every scene has its own random generators, seeded by the dataset's seed, split and the scene's index. Scene 7 is
therefore the same in a dataset of any length, drawn by any number of processes.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from typing import Literal, TypeAlias

from scenes import corrupt
from scenes.captions import Caption, describe
from scenes.grammar import Split, Thing
from scenes.place import Picture, sample_picture
from scenes.truth import clearly_false

CaptionKind: TypeAlias = Literal["true", "other", "similar", "attribute"]
WRONG_KINDS: tuple[corrupt.WrongKind, ...] = ("other", "similar", "attribute")
_ATTEMPTS = 1000


@dataclass(frozen=True, slots=True)
class Row:
    """A picture with the caption of its row and a true caption. `kind` says whether and how the first is wrong."""

    key: str
    uid: str
    picture: Picture
    caption: str
    kind: CaptionKind
    true_caption: str


def plan(count: int, seed: int, split: Split = "train", wrong: Mapping[str, float] | None = None) -> list[Row]:
    """The rows of a dataset.

    Args:
        count: number of pictures.
        seed: equal seeds give equal rows. Without wrong captions, a longer plan begins with the rows of a shorter one.
        split: "test" has only things whose combination of colour, shape and size is never in "train". Its rows are
            distinct: each true caption is clearly false for every other picture of the dataset.
        wrong: shares of wrong captions by kind, for example `{"other": 0.1, "attribute": 0.05}`. Shares are exact:
            `round(share * count)` rows have that kind; with several shares the number may differ by one.

    Raises:
        ValueError: a kind is unknown, a share is outside 0..1, the shares sum to more than 1, "other" is asked for with
            fewer than two rows, or there are fewer than `count` distinct test scenes.
    """
    kinds = _kinds(count, dict(wrong or {}), Random(f"{seed}/{split}/kinds"))
    pictures, captions = _distinct(count, seed, split) if split == "test" else _independent(count, seed, split)
    rows = []
    for index, (picture, caption, kind) in enumerate(zip(pictures, captions, kinds, strict=True)):
        rng, wording = Random(f"{seed}/{split}/{index}/wrong"), f"{seed}/{split}/{index}/words"
        given = caption
        if kind == "other":
            given = corrupt.other(picture, captions, rng)
        elif kind == "similar":
            given = corrupt.similar(picture, split, rng)
        elif kind == "attribute":
            given = corrupt.attribute(picture, split, rng, wording)
        uid = blake2b(f"scenes/{seed}/{split}/{index}".encode(), digest_size=16).hexdigest()
        rows.append(Row(f"{split}-{seed}-{index:07d}", uid, picture, given.text, kind, caption.text))
    return rows


def described(seed: int, split: Split, index: int, attempt: int = 0, most_things: int = 3) -> tuple[Picture, Caption]:
    """Scene number `index` of the endless sequence of this seed and split, with its true caption."""
    picture = sample_picture(Random(f"{seed}/{split}/{index}/{attempt}"), split, most_things)
    return picture, describe(picture.scene, Random(f"{seed}/{split}/{index}/words"))


def _independent(count: int, seed: int, split: Split) -> tuple[list[Picture], list[Caption]]:
    pairs = [described(seed, split, index) for index in range(count)]
    return [picture for picture, _ in pairs], [caption for _, caption in pairs]


def _distinct(count: int, seed: int, split: Split) -> tuple[list[Picture], list[Caption]]:
    """Pairs whose captions each fit only their own picture. Only scenes with equal things need to be compared."""
    pictures: list[Picture] = []
    captions: list[Caption] = []
    alike: defaultdict[frozenset[Thing], list[int]] = defaultdict(list)
    for index in range(count):
        for attempt in range(_ATTEMPTS):
            picture, caption = described(seed, split, index, attempt)
            rivals = alike[caption.claims.things]
            if all(
                clearly_false(caption.claims, pictures[i]) and clearly_false(captions[i].claims, picture)
                for i in rivals
            ):
                break
        else:
            raise ValueError(f"only {index} distinct {split} scenes were found, not {count}; use a smaller count")
        rivals.append(index)
        pictures.append(picture)
        captions.append(caption)
    return pictures, captions


def _kinds(count: int, wrong: dict[str, float], rng: Random) -> list[CaptionKind]:
    """The kind of each row's caption: exact shares, in random order."""
    unknown = sorted(wrong.keys() - set(WRONG_KINDS))
    if unknown:
        raise ValueError(f"unknown kind of wrong caption: {unknown[0]!r}; known are {', '.join(WRONG_KINDS)}")
    if any(not 0.0 <= share <= 1.0 for share in wrong.values()) or sum(wrong.values()) > 1.0 + 1e-9:
        raise ValueError(f"shares of wrong captions must lie in 0..1 and sum to at most 1, not {wrong}")
    if wrong.get("other") and count < 2:
        raise ValueError("another scene's caption needs at least two scenes")
    kinds: list[CaptionKind] = []
    total = 0.0
    for kind in WRONG_KINDS:
        # The running total is rounded, so that the sum is exact even if the single shares are not whole numbers.
        total += wrong.get(kind, 0.0)
        kinds += [kind] * (min(round(total * count), count) - len(kinds))
    kinds += ["true"] * (count - len(kinds))
    order = sorted(range(count), key=lambda _: rng.random())
    return [kinds[position] for position in order]
