"""Which scenes a dataset holds and which caption each gets: everything but the drawing, in one pass.

Every scene has random generators of its own, seeded by the dataset's seed, its split and its index; so scene
7 is the same scene however many follow it, and no number of processes changes anything.
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
    """A picture with the caption it is given (`kind` says how that is wrong, if it is) and a true one."""

    key: str
    uid: str
    picture: Picture
    caption: str
    kind: CaptionKind
    true_caption: str


def plan(count: int, seed: int, split: Split = "train", wrong: Mapping[str, float] | None = None) -> list[Row]:
    """The rows of a dataset.

    Args:
        count: how many pictures.
        seed: equal seeds give equal rows; the first rows of a longer plan without wrong captions are those of
            a shorter one.
        split: "test" draws things only from combinations of colour, shape and size that "train" never shows,
            and makes the rows distinct: each true caption is clearly false of every other picture of the set.
        wrong: shares of wrong captions by kind, for example `{"other": 0.1, "attribute": 0.05}`. Shares are
            exact: of `count` rows, `round(share * count)` have that kind, to within one where several shares
            are given.

    Raises:
        ValueError: a kind is unknown, shares do not lie in 0..1 or sum to more than 1, a share of "other"
            among fewer than two rows, or there are not as many distinct test scenes.
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
    """Scene number `index` of the endless list that seed and split stand for, with its true caption."""
    picture = sample_picture(Random(f"{seed}/{split}/{index}/{attempt}"), split, most_things)
    return picture, describe(picture.scene, Random(f"{seed}/{split}/{index}/words"))


def _independent(count: int, seed: int, split: Split) -> tuple[list[Picture], list[Caption]]:
    pairs = [described(seed, split, index) for index in range(count)]
    return [picture for picture, _ in pairs], [caption for _, caption in pairs]


def _distinct(count: int, seed: int, split: Split) -> tuple[list[Picture], list[Caption]]:
    """Pairs of which no caption could be taken for another's; only scenes of equal things can collide."""
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
            raise ValueError(f"no {count} distinct {split} scenes: only {index} were found; ask for fewer")
        rivals.append(index)
        pictures.append(picture)
        captions.append(caption)
    return pictures, captions


def _kinds(count: int, wrong: dict[str, float], rng: Random) -> list[CaptionKind]:
    """The kind of each row's caption, dealt at random in exact shares."""
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
        # Rounding the running total keeps the sum exact where single shares do not come out even.
        total += wrong.get(kind, 0.0)
        kinds += [kind] * (min(round(total * count), count) - len(kinds))
    kinds += ["true"] * (count - len(kinds))
    order = sorted(range(count), key=lambda _: rng.random())
    return [kinds[position] for position in order]
