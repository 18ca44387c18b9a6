"""The catalogue of published models against the figures published for them."""

import math
from dataclasses import replace

import pytest

import siglip_core
from siglip_core.layouts import hf
from siglip_core.variants import PUBLISHED

MILLIONS = {  # parameters, as the Hub counts them
    "siglip-base-patch16-224": 203.2,
    "siglip-base-patch16-512": 203.8,
    "siglip-base-patch16-256-multilingual": 370.6,
    "siglip-large-patch16-256": 652,
    "siglip-so400m-patch14-224": 877.4,
    "siglip-so400m-patch14-384": 878.0,
    "siglip-so400m-patch16-256-i18n": 1128.8,
    "siglip2-base-patch32-256": 376.9,
    "siglip2-large-patch16-512": 882,
    "siglip2-so400m-patch16-512": 1136,
    "siglip2-giant-opt-patch16-256": 1871,
}


def test_there_are_27() -> None:
    assert len(PUBLISHED) == 27
    assert all(name == spec.name and name.startswith("google/siglip") for name, spec in PUBLISHED.items())


@pytest.mark.parametrize("name", MILLIONS)
def test_parameters_are_as_published(name: str) -> None:
    assert PUBLISHED[f"google/{name}"].parameters / 1e6 == pytest.approx(MILLIONS[name], rel=6e-4)


@pytest.mark.parametrize("spec", PUBLISHED.values(), ids=lambda spec: spec.name)
def test_parameters_are_those_of_the_files(spec: siglip_core.Spec) -> None:
    assert spec.parameters == sum(math.prod(entry.shape) for entry in hf.entries(spec))


def test_gflops_of_base_16_224() -> None:
    """timm counts 17.73 billion multiply-adds for vit_base_patch16_siglip_224's image tower, head included."""
    assert PUBLISHED["google/siglip-base-patch16-224"].vision.gflops == pytest.approx(2 * 17.73, rel=0.01)


@pytest.mark.parametrize(
    ("name", "tokens", "length", "dim", "preprocessing"),
    [
        ("siglip-so400m-patch14-384", 729, 64, 1152, "hf-bicubic-aa.v1@384"),
        ("siglip-so400m-patch14-224", 256, 16, 1152, "hf-bicubic-aa.v1@224"),
        ("siglip2-base-patch32-256", 64, 64, 768, "hf-bilinear-aa.v1@256"),
        ("siglip2-giant-opt-patch16-384", 576, 64, 1536, "hf-bilinear-aa.v1@384"),
        ("siglip2-so400m-patch16-naflex", 256, 64, 1152, "naflex-bilinear-aa.v1@256x16"),
    ],
)
def test_sizes(name: str, tokens: int, length: int, dim: int, preprocessing: str) -> None:
    spec = siglip_core.spec(name)
    assert (spec.vision.tokens, spec.text_length, spec.embedding_dim) == (tokens, length, dim)
    assert spec.preprocessing.identity == preprocessing


def test_big_visions_mode_changes_the_identity_of_all_but_naflex() -> None:
    name = "siglip-base-patch16-224"
    assert siglip_core.spec(name, mode="bv").preprocessing.identity == "bv-bilinear-noaa.v1@224"
    assert siglip_core.spec(name, mode="bv").vision == siglip_core.spec(name).vision
    naflex = "siglip2-base-patch16-naflex"
    assert siglip_core.spec(naflex, mode="bv") == siglip_core.spec(naflex)


def test_naflex_resolution_is_that_of_a_square_image() -> None:
    preprocessing = siglip_core.spec("siglip2-base-patch16-naflex").preprocessing
    assert preprocessing.resolution == 256
    assert replace(preprocessing, max_patches=512).identity != preprocessing.identity
