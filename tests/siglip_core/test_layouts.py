"""The same weights in every layout that SigLIPs are published in: key by key, and by digest."""

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from siglip_models import model_folder, naflex_spec, random_model, sentencepiece_model, spec

import siglip_core
from siglip_core import CheckpointError, Spec, checkpoint, export
from siglip_core.layouts import Entry, big_vision, hf, open_clip
from siglip_core.variants import PUBLISHED

SPECS = [spec(), naflex_spec()]
both = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)


@both
@pytest.mark.parametrize("stacked", [True, False])
def test_npz_to_ours_to_hf(spec: Spec, stacked: bool, tmp_path: Path) -> None:
    model = random_model(spec)
    checkpoint.save(model, tmp_path / "hf")
    export.save_big_vision(model, tmp_path / "model.npz", stacked)
    loaded = siglip_core.load(tmp_path / "model.npz")
    assert loaded.spec.vision == spec.vision
    assert loaded.spec.text == spec.text
    assert loaded.weights_digest == siglip_core.load(tmp_path / "hf").weights_digest
    checkpoint.save(loaded.module, tmp_path / "back")
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("hf", "back"))
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, rtol=0, atol=0, msg=name)


@both
def test_open_clip_to_ours_and_back(spec: Spec, tmp_path: Path) -> None:
    model = random_model(spec)
    export.save_open_clip(model, tmp_path)
    given = load_file(tmp_path / "open_clip_model.safetensors")
    state = checkpoint.convert(given, spec, tmp_path)
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(state[name], tensor, rtol=0, atol=0, msg=name)
    back = checkpoint.export(state, open_clip.entries(spec))
    assert back.keys() == given.keys()
    for name, tensor in given.items():
        torch.testing.assert_close(back[name], tensor, rtol=0, atol=0, msg=name)


@both
@pytest.mark.parametrize("layout", [hf.entries, open_clip.entries, big_vision.entries], ids=lambda f: f.__module__)
def test_a_layout_holds_each_parameter_once(spec: Spec, layout: Callable[[Spec], list[Entry]]) -> None:
    entries = layout(spec)
    ours = [name for entry in entries for name in entry.ours]
    assert sorted(ours) == sorted(random_model(spec).state_dict())
    assert len({entry.theirs for entry in entries}) == len(entries)


def test_published_names_and_shapes() -> None:
    """A few of each layout, from the published files."""
    b16 = PUBLISHED["google/siglip2-base-patch16-224"]
    naflex = PUBLISHED["google/siglip2-base-patch16-naflex"]
    shapes = {
        (entry.theirs, entry.shape)
        for entry in [
            *hf.entries(b16),
            *open_clip.entries(b16),
            *big_vision.entries(b16, "params/", image_stacked=True, text_stacked=True),
            *big_vision.entries(naflex),
        ]
    }
    assert shapes >= {
        ("vision_model.embeddings.patch_embedding.weight", (768, 3, 16, 16)),
        ("vision_model.head.attention.in_proj_weight", (2304, 768)),
        ("text_model.embeddings.token_embedding.weight", (256000, 768)),
        ("visual.trunk.blocks.11.attn.qkv.weight", (2304, 768)),
        ("visual.trunk.attn_pool.kv.weight", (1536, 768)),
        ("visual.trunk.pos_embed", (1, 196, 768)),
        ("text.transformer.resblocks.0.attn.in_proj_weight", (2304, 768)),
        ("logit_scale", ()),
        ("params/img/Transformer/encoderblock/MultiHeadDotProductAttention_0/query/kernel", (12, 768, 12, 64)),
        ("params/txt/Encoder_0/encoderblock/MlpBlock_0/Dense_0/kernel", (12, 768, 3072)),
        ("params/img/embedding/kernel", (16, 16, 3, 768)),
        ("img/embedding/kernel", (768, 768)),
        ("img/pos_embedding", (16, 16, 768)),
        ("txt/Encoder_0/encoderblock_3/MultiHeadDotProductAttention_0/out/kernel", (12, 64, 768)),
    }


def npz(path: Path, spec: Spec, change: Callable[[dict[str, np.ndarray]], object], **layout: object) -> Path:
    tensors = checkpoint.export(random_model(spec).state_dict(), big_vision.entries(spec, **layout))
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    change(arrays)
    np.savez(path, **arrays)
    return path


def test_npz_without_params_and_with_one_tower_stacked(tmp_path: Path) -> None:
    """As some of SigLIP's first files are."""
    path = npz(tmp_path / "mixed.npz", spec(), lambda arrays: None, prefix="", image_stacked=True)
    digest = checkpoint.weights_digest(random_model(spec()).state_dict())
    assert siglip_core.load(path).weights_digest == digest


def test_npz_without_text_head_is_the_identity(tmp_path: Path) -> None:
    """So400m i18n; transformers' copy of it holds the identity, so both copies are one model."""
    square = replace(spec(), text=replace(spec().text, width=24))
    path = npz(tmp_path / "headless.npz", square, lambda arrays: None, text_head=False)
    loaded = siglip_core.load(path)
    torch.testing.assert_close(loaded.module.text.head.weight, torch.eye(24))
    assert not loaded.module.text.head.bias.any()
    model_folder(tmp_path / "hf", loaded.module, with_tokenizer=False)
    assert siglip_core.load(tmp_path / "hf").weights_digest == loaded.weights_digest


def test_npz_in_bfloat16(tmp_path: Path) -> None:
    """jax's bfloat16 arrives in numpy as two nameless bytes."""

    def halve(arrays: dict[str, np.ndarray]) -> None:
        for name, array in arrays.items():
            bits = torch.from_numpy(array).bfloat16().view(torch.int16).numpy()
            arrays[name] = bits.view("V2")

    path = npz(tmp_path / "half.npz", spec(), halve)
    state = {name: tensor.bfloat16() for name, tensor in random_model(spec()).state_dict().items()}
    assert siglip_core.load(path).weights_digest == checkpoint.weights_digest(state)


def test_a_tokenizer_beside_the_npz_is_used(tmp_path: Path) -> None:
    path = npz(tmp_path / "model.npz", spec(), lambda arrays: None)
    assert siglip_core.load(path).tokenizer_digest is None
    (tmp_path / "spiece.model").write_bytes(sentencepiece_model())
    assert siglip_core.load(path).encode_text(["a red apple"]).shape == (1, 24)
    assert siglip_core.load(tmp_path).encode_text(["a red apple"]).shape == (1, 24)  # the folder of that one file


def test_a_published_npz_gets_its_published_resolution(tmp_path: Path) -> None:
    """27 x 27 patches of 14 pixels are 378 or 384: the published model has 384."""
    published = PUBLISHED["google/siglip-so400m-patch14-384"]
    with zipfile.ZipFile(tmp_path / "so.npz", "w") as archive:
        for entry in big_vision.entries(published, "params/"):
            with archive.open(f"{entry.theirs}.npy", "w") as file:  # a spec needs the headers alone
                header = {"descr": "<f4", "fortran_order": False, "shape": entry.shape}
                np.lib.format.write_array_header_1_0(file, header)
    assert siglip_core.spec(tmp_path / "so.npz") == replace(published, name="so")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("img/MAPHead_0/probe"), "lacks img/MAPHead_0/probe"),
        (lambda a: a.update(extra=np.ones(1)), "has extra"),
        (lambda a: a.pop("img/embedding/kernel"), "not a SigLIP model of big_vision.*img/embedding/kernel"),
        (lambda a: a.update({"txt/head/bias": np.ones(25, np.float32)}), r"txt/head/bias has shape \[25\].*\[24\]"),
        (lambda a: a.update({"t": np.array([{"pickled": 1}], object)}), "an .npz of numbers"),
    ],
)
def test_npz_that_does_not_fit_is_named(
    tmp_path: Path, change: Callable[[dict[str, np.ndarray]], object], message: str
) -> None:
    with pytest.raises(CheckpointError, match=f"model.npz.*{message}"):
        siglip_core.load(npz(tmp_path / "model.npz", spec(), change))


@pytest.mark.parametrize("keep", [0, 100, -100])
def test_truncated_npz(tmp_path: Path, keep: int) -> None:
    path = npz(tmp_path / "model.npz", spec(), lambda arrays: None)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=r"model.npz: truncated"):
        siglip_core.load(path)


def test_torch_state_dict_is_read_without_running_it(tmp_path: Path) -> None:
    folder = model_folder(tmp_path / "bin", random_model(spec()), with_tokenizer=False)
    whole = siglip_core.load(folder).weights_digest
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin")
    assert siglip_core.load(folder).weights_digest == whole
    torch.save({**tensors, "code": Path}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="without code"):
        siglip_core.load(folder)
    torch.save({**tensors, "epoch": 3}, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="contains more than named tensors"):
        siglip_core.load(folder)


OPEN_CLIP = {
    "model_cfg": {
        "embed_dim": 1536,
        "vision_cfg": {"image_size": 384, "timm_model_name": "vit_giantopt_patch16_siglip_384"},
        "text_cfg": {
            "context_length": 64,
            "vocab_size": 256000,
            "width": 1152,
            "heads": 16,
            "layers": 27,
            "mlp_ratio": 3.7362,
            "no_causal_mask": True,
            "pool_type": "last",
        },
    },
    "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bilinear", "resize_mode": "squash"},
}


def test_open_clip_config_is_the_published_model(tmp_path: Path) -> None:
    (tmp_path / "open_clip_config.json").write_text(json.dumps(OPEN_CLIP))
    published = PUBLISHED["google/siglip2-giant-opt-patch16-384"]
    assert siglip_core.spec(tmp_path) == replace(published, name=tmp_path.name)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("timm_model_name", "vit_base_patch16_clip_224", "timm_model_name"),
        ("timm_model_name", "vit_base_patch16_siglip_224", "embed_dim is 1536"),
    ],
)
def test_open_clip_configs_that_cannot_be_followed(tmp_path: Path, key: str, value: str, message: str) -> None:
    config = json.loads(json.dumps(OPEN_CLIP))
    config["model_cfg"]["vision_cfg"][key] = value
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=f"open_clip_config.json: .*{message}"):
        siglip_core.spec(tmp_path)
