"""Model folders: what is read, written and refused, each refusal naming its file and key."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from siglip_models import model_folder, random_model, spec

import siglip_core
from siglip_core import CheckpointError, SiglipError
from siglip_core.checkpoint import weights_digest

Tensors = dict[str, torch.Tensor]


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    return model_folder(tmp_path / "tiny", random_model(spec()), with_tokenizer=False)


def rewrite(folder: Path, change: Callable[[Tensors], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def reconfigure(folder: Path, change: Callable[[dict[str, Any]], object], name: str = "config.json") -> None:
    config = json.loads((folder / name).read_text())
    change(config)
    (folder / name).write_text(json.dumps(config))


def test_saved_model_is_read_back(folder: Path) -> None:
    model = random_model(spec())
    loaded = siglip_core.load(folder)
    assert loaded.spec == spec()
    assert siglip_core.spec(folder) == spec()
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(loaded.module.state_dict()[name], tensor, rtol=0, atol=0)


def test_the_digest_is_of_names_shapes_and_float32_values() -> None:
    """Pinned by hand: a table keeps it, so another siglane must come to the same."""
    state = {"b": torch.tensor([[1.0, 2.0], [3.0, 4.0]]), "a": torch.tensor([0.5])}
    written = b"a 1\n" + np.array([0.5], "<f4").tobytes() + b"b 2x2\n" + np.array([1, 2, 3, 4], "<f4").tobytes()
    assert weights_digest(state) == hashlib.sha256(written).hexdigest()
    assert weights_digest({name: tensor.half() for name, tensor in state.items()}) == weights_digest(state)
    assert weights_digest({**state, "b": state["b"].reshape(4, 1)}) != weights_digest(state)


def test_weights_may_be_read_by_whom_the_config_may(folder: Path) -> None:
    assert (folder / "model.safetensors").stat().st_mode == (folder / "config.json").stat().st_mode


def shard(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    weight_map = {}
    for i in range(3):
        file = f"model-{i}.safetensors"
        save_file({name: tensors[name].clone() for name in names[i::3]}, folder / file)
        weight_map |= dict.fromkeys(names[i::3], file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    (folder / "model.safetensors").unlink()


def test_shards_and_single_file_are_one_model(folder: Path) -> None:
    whole = siglip_core.load(folder)
    shard(folder)
    sharded = siglip_core.load(folder)
    assert sharded.weights_digest == whole.weights_digest
    images = torch.arange(32 * 32 * 3).remainder(256).to(torch.uint8).reshape(1, 32, 32, 3)
    # Not to the bit: where a tensor lies in its file decides its alignment, and that the order of sums.
    torch.testing.assert_close(sharded.encode_image(images), whole.encode_image(images), rtol=0, atol=1e-6)


def test_shard_missing_or_of_another_checkpoint(folder: Path) -> None:
    shard(folder)
    (folder / "model-2.safetensors").rename(folder / "elsewhere")
    with pytest.raises(CheckpointError, match=r"'model-2.safetensors', which is missing from the folder"):
        siglip_core.load(folder)
    (folder / "elsewhere").rename(folder / "model-2.safetensors")
    rewritten = load_file(folder / "model-1.safetensors")
    rewritten.pop(sorted(rewritten)[0])
    save_file({name: tensor.clone() for name, tensor in rewritten.items()}, folder / "model-1.safetensors")
    with pytest.raises(CheckpointError, match=r"model-1.safetensors: its tensors differ from those that the index"):
        siglip_core.load(folder)
    (folder / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"index.json: not an index"):
        siglip_core.load(folder)


def test_digest_is_of_the_values(folder: Path) -> None:
    whole = siglip_core.load(folder).weights_digest
    assert len(whole) == 64
    assert siglip_core.load(folder, dtype="bfloat16").weights_digest == whole  # of the file, not of the cast
    rewrite(folder, lambda tensors: tensors["text_model.head.bias"].add_(1e-3))
    assert siglip_core.load(folder).weights_digest != whole


def test_half_precision_file_and_its_float32_copy_are_one_model(folder: Path) -> None:
    rewrite(folder, lambda tensors: tensors.update({k: v.bfloat16() for k, v in tensors.items()}))
    half = siglip_core.load(folder)
    assert half.module.logit_bias.dtype == torch.float32
    rewrite(folder, lambda tensors: tensors.update({k: v.float() for k, v in tensors.items()}))
    assert siglip_core.load(folder).weights_digest == half.weights_digest


def test_old_position_id_buffers_are_ignored(folder: Path) -> None:
    ids = {f"{tower}_model.embeddings.position_ids": torch.arange(16)[None] for tower in ("text", "vision")}
    rewrite(folder, lambda tensors: tensors.update({k: v.clone() for k, v in ids.items()}))
    assert siglip_core.load(folder).spec.embedding_dim == 24


PROBE = "vision_model.head.probe"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop(PROBE), f"lacks {PROBE}"),
        (lambda t: t.update({"extra.weight": torch.ones(1)}), "has extra.weight"),
        (lambda t: t.update({PROBE: torch.ones(1, 24)}), rf"{PROBE} has shape \[1, 24\].*\[1, 1, 24\]"),
        (lambda t: t.update({PROBE: t[PROBE].to(torch.int8)}), f"{PROBE} is stored as int8"),
        (lambda t: t.clear() or t.update(one=torch.ones(1)), "lacks logit_scale, logit_bias.* and .* more"),
    ],
)
def test_weights_that_do_not_fit_are_named(folder: Path, change: Callable[[Tensors], object], message: str) -> None:
    rewrite(folder, change)
    with pytest.raises(CheckpointError, match=f"model.safetensors: .*{message}"):
        siglip_core.load(folder)


@pytest.mark.parametrize("keep", [0, 7, 500, -1])
def test_truncated_file(folder: Path, keep: int) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match=r"model.safetensors \(.* bytes\): truncated"):
        siglip_core.load(folder)


def test_config_that_contradicts_the_weights(folder: Path) -> None:
    reconfigure(folder, lambda config: config["vision_config"].update(num_hidden_layers=3))
    with pytest.raises(CheckpointError, match=r"lacks vision_model.encoder.layers.2"):
        siglip_core.load(folder)
    reconfigure(folder, lambda config: config["vision_config"].update(num_hidden_layers=1))
    with pytest.raises(CheckpointError, match=r"has vision_model.encoder.layers.1.*, which the model does not use"):
        siglip_core.load(folder)


def vision(**values: object) -> Callable[[dict[str, Any]], object]:
    return lambda config: config["vision_config"].update(values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(model_type="clip"), "model_type is 'clip'"),
        (lambda c: c.update(text_config=[]), "text_config must be an object"),
        (lambda c: c.update(text_config=7), "text_config must be an object"),
        (vision(hidden_size=25), "hidden_size 25 is not a multiple"),
        (vision(hidden_size="24"), "hidden_size is '24'"),
        (vision(num_hidden_layers=0), "num_hidden_layers is 0"),
        (vision(image_size=[32, 48]), r"image_size is \[32, 48\]"),
        (vision(patch_size=33), "patch_size 33 is larger"),
        (vision(hidden_act="gelu"), "hidden_act is 'gelu'"),
        (vision(layer_norm_eps=1e-5), "layer_norm_eps is 1e-05"),
        (vision(vision_use_head=False), "vision_use_head is False"),
        (vision(num_channels=1), "num_channels is 1"),
        (
            lambda c: c["text_config"].update(projection_size=None),
            "would have 16 numbers.*image embeddings 24",
        ),
    ],
)
def test_configs_that_cannot_be_followed(
    folder: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    reconfigure(folder, change)
    with pytest.raises(CheckpointError, match=f"config.json: .*{message}"):
        siglip_core.spec(folder)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"resample": 0}, "resample is 0"),
        ({"size": {"height": 64, "width": 64}}, "size is"),
        ({"image_mean": [0.48, 0.45, 0.4]}, "image_mean"),
        ({"do_resize": False}, "do_resize is False"),
    ],
)
def test_preprocessing_that_cannot_be_followed(folder: Path, values: dict[str, object], message: str) -> None:
    reconfigure(folder, lambda config: config.update(values), "preprocessor_config.json")
    with pytest.raises(CheckpointError, match=f"preprocessor_config.json: {message}"):
        siglip_core.spec(folder)


def test_preprocessing_follows_the_file(folder: Path) -> None:
    reconfigure(folder, lambda config: config.update(resample=2), "preprocessor_config.json")
    assert siglip_core.spec(folder).preprocessing.name == "hf-bilinear-aa"
    (folder / "preprocessor_config.json").unlink()
    assert siglip_core.spec(folder).preprocessing.name == "hf-bicubic-aa"


def test_absent_and_broken_folders(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(SiglipError, match="no such folder"):
        siglip_core.load(tmp_path / "absent")
    (folder / "model.safetensors").rename(folder / "weights.pt")
    with pytest.raises(CheckpointError, match=r"no weights found .*weights.pt.*model.safetensors"):
        siglip_core.load(folder)
    (folder / "config.json").write_text("<html>")
    with pytest.raises(CheckpointError, match=r"config.json: cannot be read as JSON"):
        siglip_core.spec(folder)
    (folder / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"config.json: no such file"):
        siglip_core.spec(folder)
