"""What the page and the picture both say of an inspection. Plain text: whoever lays it out escapes it."""

from siglip_core.inspection.measure import CaptionScore, Inspection

HEADS = "Attention of each head, each on a scale of its own"
CAPTIONS = ("caption", "cosine", "logit", "probability")

_LONGEST = 1000  # characters of a caption; no text tower reads further


def title(inspection: Inspection, image: str) -> str:
    return f"{line(image)} as {line(inspection.model)} sees it"


def sizes(inspection: Inspection) -> str:
    heads, patches = inspection.attention.shape
    return f"{inspection.width} x {inspection.height} px; seen as {patches} patches, pooled by {heads} heads"


def formula(inspection: Inspection) -> str:
    bias = f"{'-' if inspection.logit_bias < 0 else '+'} {abs(inspection.logit_bias):.2f}"
    return (
        f"logit = {inspection.logit_scale:.2f} x cosine {bias}; probability = 1 / (1 + exp(-logit)), which is not "
        "calibrated: compare captions, do not read it as a chance"
    )


def cells(score: CaptionScore) -> tuple[str, str, str, str]:
    """A caption and its figures, as CAPTIONS names them."""
    probability = f"{score.probability:.4f}" if score.probability >= 0.001 else f"{score.probability:.2g}"
    return line(score.caption), f"{score.cosine:.4f}", f"{score.logit:.2f}", probability


def line(text: str) -> str:
    """One line of at most _LONGEST characters; what would break or hide it (control characters) shows as U+FFFD."""
    flat = " ".join(text.split())
    short = flat if len(flat) <= _LONGEST else flat[: _LONGEST - 1] + "…"
    return "".join("\ufffd" if _is_control(character) else character for character in short)


def _is_control(character: str) -> bool:
    """C0, C1, lone surrogates, and the marks that reorder what follows them."""
    code = ord(character)
    reorders = 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069
    return code < 0x20 or 0x7F <= code < 0xA0 or 0xD800 <= code < 0xE000 or reorders
