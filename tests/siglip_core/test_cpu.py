"""The towers with packed layers: they give the plain ones' vectors. A measurement chooses; plain ones always work."""

import logging
import pickle
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from random_towers import SPECS, encode, towers, wide_spec
from siglip_models import model_folder, naflex_spec, random_model, spec
from torch import Tensor

import siglip_core
from siglip_core import Spec, cpu
from siglip_core.cpu import PLAIN_INPUTS, onednn
from siglip_core.cpu.towers import PackedBlock, pack
from siglip_core.encoder import Encoder
from siglip_core.model import Block, Siglip

MANY = PLAIN_INPUTS + 1
IMAGES = np.random.default_rng(0).integers(0, 256, (MANY, 30, 30, 3), dtype=np.uint8)
TOKENS = np.random.default_rng(1).integers(0, 400, (MANY, 8))


def packed_copy(model: Siglip) -> Siglip:
    copy = deepcopy(model)
    pack(copy.image, rows=64)
    pack(copy.text, rows=64)
    return copy


@SPECS
@pytest.mark.parametrize("count", [1, 3, 17])
def test_packed_towers_give_the_plain_ones_embeddings(of: Spec, count: int) -> None:
    plain = towers(of, torch.float32)
    for found, wanted in zip(encode(packed_copy(plain), count), encode(plain, count), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


@SPECS
@pytest.mark.parametrize("count", [1, 3, 17])
def test_packed_towers_in_bfloat16_are_as_near_to_float32_as_plain_ones(of: Spec, count: int) -> None:
    plain = towers(of, torch.bfloat16)
    exact = encode(towers(of, torch.float32), count)
    for found, wanted, true in zip(encode(packed_copy(plain), count), encode(plain, count), exact, strict=True):
        lost, usual = (1 - F.cosine_similarity(z_BE, true).min().item() for z_BE in (found, wanted))
        assert lost < max(2 * usual, 2e-4), (lost, usual)


def test_scores_of_a_few_heads_at_a_time_are_those_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    for of in (spec(), naflex_spec()):
        packed = packed_copy(towers(of, torch.float32))
        together = encode(packed, 17)
        with monkeypatch.context() as patched:
            patched.setattr("siglip_core.cpu.towers.SCORE_BYTES", 1)
            for found, wanted in zip(encode(packed, 17), together, strict=True):
                torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)


def test_a_packed_tower_gives_up_its_unpacked_weights() -> None:
    packed = packed_copy(towers(spec(), torch.float32))
    assert max(parameter.numel() for parameter in packed.image.blocks.parameters()) == spec().vision.width


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_folder(tmp_path_factory.mktemp("model") / "wide", random_model(wide_spec()))


@pytest.fixture(scope="module", name="plain")
def _plain(folder: Path) -> Encoder:
    encoder = siglip_core.load(folder)
    assert encoder.module.spec == encoder.spec  # from now on without packed layers
    return encoder


def packs(monkeypatch: pytest.MonkeyPatch, plain_seconds: float = 2.0, packed_seconds: float = 1.0) -> list[str]:
    """Replaces the measurement by these times; lists the towers that were measured."""
    measured: list[str] = []

    def seconds(tower: cpu.Tower, rows: int) -> tuple[float, float]:
        measured.append(type(tower).__name__)
        return plain_seconds, packed_seconds

    monkeypatch.setattr(cpu, "_seconds_of_a_block", seconds)
    return measured


def test_a_tower_is_measured_once_and_only_after_a_few_inputs(
    folder: Path, plain: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = packs(monkeypatch)
    encoder = siglip_core.load(folder)
    few = encoder.encode_image(IMAGES[:PLAIN_INPUTS])
    assert measured == []
    torch.testing.assert_close(few, plain.encode_image(IMAGES[:PLAIN_INPUTS]), rtol=0, atol=0)
    for _ in range(2):
        torch.testing.assert_close(encoder.encode_image(IMAGES), plain.encode_image(IMAGES), rtol=0, atol=1e-6)
    assert measured == ["ImageTower"]
    torch.testing.assert_close(encoder.encode_text(TOKENS), plain.encode_text(TOKENS), rtol=0, atol=1e-6)
    assert measured == ["ImageTower", "TextTower"]


def test_where_many_inputs_are_expected_the_first_one_is_computed_like_all(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = packs(monkeypatch)
    encoder = siglip_core.load(folder, dtype="bfloat16")
    encoder.expect_many()
    first = encoder.encode_image(IMAGES[:1])
    assert measured == ["ImageTower"]
    torch.testing.assert_close(encoder.encode_image(IMAGES)[:1], first, rtol=0, atol=1e-6)


def test_a_narrow_tower_is_not_worth_packing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = packs(monkeypatch)
    encoder = siglip_core.load(model_folder(tmp_path / "tiny", random_model(spec()), with_tokenizer=False))
    encoder.expect_many()
    encoder.encode_image(np.zeros((MANY, 32, 32, 3), np.uint8))
    assert measured == []


def test_the_faster_layers_are_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = list[str]()
    whole = cpu.pack
    monkeypatch.setattr(cpu, "pack", lambda tower, rows: (made.append(type(tower).__name__), whole(tower, rows)))
    packs(monkeypatch, plain_seconds=1.0, packed_seconds=2.0)
    siglip_core.load(folder).encode_image(IMAGES)
    assert made == []
    packs(monkeypatch, plain_seconds=2.0, packed_seconds=1.0)
    siglip_core.load(folder).encode_image(IMAGES)
    assert made == ["ImageTower"]


def test_waiting_for_a_core_does_not_count_as_slow(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the start of a run, decoding takes all cores. The slower layers were chosen in a quarter of such runs."""
    whole_plain, whole_packed = Block.forward, PackedBlock.forward

    def computes_longer(block: Block, x_BLD: Tensor) -> Tensor:
        until = time.thread_time() + 0.01
        while time.thread_time() < until:
            pass
        return whole_plain(block, x_BLD)

    def waits_longer(block: PackedBlock, x_BLD: Tensor) -> Tensor:
        time.sleep(0.05)
        return whole_packed(block, x_BLD)

    monkeypatch.setattr(Block, "forward", computes_longer)
    monkeypatch.setattr(PackedBlock, "forward", waits_longer)
    tower = siglip_core.load(folder).module.image
    assert cpu.speed_up(tower)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_without_the_private_operators_plain_layers_compute_and_the_log_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, dtype: str
) -> None:
    plain = siglip_core.load(folder, dtype=dtype)
    assert plain.module is not None
    monkeypatch.setattr(onednn, "_OPERATORS", ("_of_a_later_torch",))
    encoder = siglip_core.load(folder, dtype=dtype)
    torch.testing.assert_close(encoder.encode_image(IMAGES), plain.encode_image(IMAGES), rtol=0, atol=0)
    torch.testing.assert_close(encoder.encode_text(TOKENS), plain.encode_text(TOKENS), rtol=0, atol=0)
    why = "float16" if dtype == "float16" else "_of_a_later_torch"
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert all(why in record.message and "plain layers" in record.message for record in caplog.records)


def test_layers_that_onednn_refuses_stay_plain_and_the_log_says_so(
    folder: Path, plain: Encoder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*arguments: object) -> None:
        raise RuntimeError("no such layout")

    monkeypatch.setattr(cpu, "PackedBlock", refuse)
    encoder = siglip_core.load(folder)
    torch.testing.assert_close(encoder.encode_image(IMAGES), plain.encode_image(IMAGES), rtol=0, atol=0)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "no such layout" in record.message


def test_the_module_has_gradients_and_its_changes_count(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packs(monkeypatch)
    encoder = siglip_core.load(folder)
    digest, before = encoder.weights_digest, encoder.encode_image(IMAGES)
    module = encoder.module
    assert encoder.module is module
    torch.testing.assert_close(encoder.encode_image(IMAGES), before, rtol=0, atol=1e-6)
    module.requires_grad_(True)
    module.image(torch.from_numpy(IMAGES)).square().sum().backward()
    for name, parameter in module.image.named_parameters():
        # the same is added to the scores of all tokens
        assert parameter.grad is not None, name
        assert parameter.grad.any() or name.endswith("key.bias"), name
    with torch.no_grad():
        module.image.blocks[0].mlp.fc1.weight.mul_(2)
    assert (encoder.encode_image(IMAGES) - before).abs().max() > 1e-3
    assert siglip_core.load(folder).weights_digest == digest


@pytest.mark.parametrize("copied", [deepcopy, lambda encoder: pickle.loads(pickle.dumps(encoder))])
def test_an_encoder_that_has_packed_can_be_copied(
    folder: Path, monkeypatch: pytest.MonkeyPatch, copied: Callable[[Encoder], Encoder]
) -> None:
    packs(monkeypatch)
    encoder = siglip_core.load(folder)
    before = encoder.encode_image(IMAGES)
    torch.testing.assert_close(copied(encoder).encode_image(IMAGES), before, rtol=0, atol=1e-6)
    with torch.no_grad():
        encoder.module.image.blocks[0].mlp.fc1.weight.mul_(2)
    changed = copied(encoder)
    assert (changed.encode_image(IMAGES) - before).abs().max() > 1e-3
    torch.testing.assert_close(changed.encode_image(IMAGES), encoder.encode_image(IMAGES), rtol=0, atol=1e-6)


def test_threads_that_share_an_encoder_get_the_same_vectors(
    folder: Path, plain: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = packs(monkeypatch)
    encoder = siglip_core.load(folder)
    wanted = plain.encode_text(TOKENS)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: encoder.encode_text(TOKENS), range(20)):
            torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)
    assert measured == ["TextTower"]
