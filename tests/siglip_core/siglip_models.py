"""Small models, tokenizers and images that the tests of siglip_core are made of."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import sentencepiece
import torch
from PIL import Image

from siglip_core import Preprocessing, Spec, TextSpec, VisionSpec, checkpoint, similarity
from siglip_core.encoder import Encoder
from siglip_core.init import initialise
from siglip_core.model import Siglip
from siglip_core.variants import naflex_preprocessing

CAPTIONS = [
    "a photo of two cats on a sofa",
    "a red apple beside a green pear",
    "the dog runs over wet sand",
    "children play football in the park",
    "an old man reads a newspaper",
    "a bicycle leans against a brick wall",
    "blue hair and a gold crown",
]


def spec(name: str = "tiny", vocab_size: int = 400, length: int = 16, resolution: int = 32) -> Spec:
    """Two different small towers: heads of 12 and 8, depth 2 and 1; 4 x 4 patches, or fewer without a remainder."""
    vision = VisionSpec(width=24, depth=2, heads=2, mlp=40, patch_size=8, resolution=resolution)
    text = TextSpec(width=16, depth=1, heads=2, mlp=24, vocab_size=vocab_size, length=length, embedding_dim=24)
    return Spec(name, vision, text, Preprocessing("hf-bicubic-aa", resolution))


def naflex_spec(name: str = "tiny-naflex") -> Spec:
    """As `spec`, with a grid of 4 x 4 positions and at most 20 patches an image."""
    fixed = spec(name)
    return replace(fixed, vision=replace(fixed.vision, naflex=True), preprocessing=naflex_preprocessing(8, 20))


def random_model(spec: Spec, seed: int = 0) -> Siglip:
    """Random weights under which every part matters, which a fresh initialisation does not give.

    Norms and biases start at 1 and 0, so a swapped or dropped one would not show, and attention starts nearly
    uniform, so a wrong head split would hardly show: biases are drawn, and queries and keys are enlarged.
    """
    model = initialise(Siglip(spec), seed)
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if name.endswith(".bias") or ".norm" in name:
                parameter += 0.1 * noise
            elif name.endswith(("query.weight", "key.weight")):
                parameter *= 1.5
        model.logit_scale.fill_(4.7)
        model.logit_bias.fill_(-12.9)
    return model


def pair_logits(model: Encoder, image_BE: torch.Tensor, text_BE: torch.Tensor) -> torch.Tensor:
    """Of all against all, [B, B], as the package computes them from stored vectors."""
    cosine_BB = similarity.cosine_block(image_BE.numpy(), text_BE.numpy())
    return torch.from_numpy(similarity.logit(cosine_BB, model.logit_scale, model.logit_bias))


def model_folder(folder: Path, model: Siglip, with_tokenizer: bool = True) -> Path:
    checkpoint.save(model, folder)
    if with_tokenizer:
        (folder / "spiece.model").write_bytes(sentencepiece_model())
    return folder


def sentencepiece_model(end: str = "</s>", captions: list[str] = CAPTIONS) -> bytes:
    """A unigram model with byte fallback and SigLIP's ids: 0 `<pad>`, 1 `</s>`, 2 `<unk>`, no bos."""
    model = BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(captions),
        model_writer=model,
        vocab_size=330,
        hard_vocab_limit=False,
        byte_fallback=True,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        eos_piece=end,
        minloglevel=2,
    )
    return model.getvalue()


def image_bytes(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def photo(width: int = 90, height: int = 60) -> Image.Image:
    """Left red, right blue, top brighter, with fine texture: every flip and every resampling shows."""
    image = Image.new("RGB", (width, height))
    for x in range(width):
        for y in range(height):
            texture = 25 * ((x * 7 + y * 13) % 4)
            image.putpixel((x, y), (180 * (x < width // 2), texture, 60 + 190 * (y < height // 2)))
    return image
