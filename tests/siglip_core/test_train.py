"""The trainer: it learns, it resumes to the bit, and it refuses what would go wrong silently."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from siglip_models import spec

from siglip_core.errors import CheckpointError, SiglipError
from siglip_core.init import initialise
from siglip_core.model import Siglip
from siglip_core.train import train
from siglip_core.train_config import TrainConfig

SPEC = spec(vocab_size=50, length=4, resolution=16)
CONFIG = TrainConfig(steps=30, learning_rate=3e-3, warmup_steps=5, save_every=10)
LEVELS = range(0, 250, 32)


def tokenize(texts):
    return np.array([[int(text), 1, 1, 1] for text in texts], dtype=np.int64)


def batches(step):
    """Eight grey levels, each with its own word, in an order of the step's own."""
    while True:
        order = np.random.default_rng(step).permutation(len(LEVELS))
        noise = np.random.default_rng(step + 1000).integers(0, 6, (len(LEVELS), 16, 16, 3))
        images = np.array(LEVELS)[order, None, None, None] + noise
        yield images.astype(np.uint8), [str(10 + i) for i in order]
        step += 1


def fresh(seed=0):
    return initialise(Siglip(SPEC), seed)


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


def test_the_loss_falls_until_each_picture_finds_its_word():
    model, losses = fresh(), []
    config = replace(CONFIG, steps=200)
    train(model, batches, tokenize, config, report=lambda progress: losses.append(progress.loss))
    assert len(losses) == 200
    assert np.mean(losses[-10:]) < 0.3 * np.mean(losses[:10])
    images, texts = next(batches(10_000))
    with torch.no_grad():
        x, y = model(torch.from_numpy(images), torch.from_numpy(tokenize(texts)))
    assert (x @ y.T).argmax(1).tolist() == list(range(len(texts)))
    assert not model.training


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(tmp_path):
    whole = fresh()
    train(whole, batches, tokenize, CONFIG)

    class KilledError(Exception):
        pass

    def kill(progress):
        if progress.step == 17:
            raise KilledError

    state = tmp_path / "state.pt"
    with pytest.raises(KilledError):
        train(fresh(), batches, tokenize, CONFIG, state, kill)
    steps, resumed = [], fresh(seed=1)  # whose weights the state replaces
    train(resumed, batches, tokenize, CONFIG, state, lambda progress: steps.append(progress.step))
    assert steps == list(range(11, 31))
    assert same(weights(whole), weights(resumed))
    assert [path.name for path in tmp_path.iterdir()] == ["state.pt"]


def test_a_finished_run_does_nothing_more(tmp_path):
    model, state = fresh(), tmp_path / "state.pt"
    train(model, batches, tokenize, CONFIG, state)
    again = fresh(seed=1)
    train(again, batches, tokenize, CONFIG, state, lambda progress: pytest.fail("trained on"))
    assert same(weights(model), weights(again))


def test_a_state_of_another_run_is_refused_naming_the_difference(tmp_path):
    state = tmp_path / "state.pt"
    train(fresh(), batches, tokenize, replace(CONFIG, steps=6), state)
    with pytest.raises(CheckpointError, match="steps 6 there, 30 here"):
        train(fresh(), batches, tokenize, CONFIG, state)
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"state\.pt: not a training state"):
        train(fresh(), batches, tokenize, CONFIG, state)


def test_fine_tuning_starts_from_the_weights_given():
    model = fresh()
    train(model, batches, tokenize, replace(CONFIG, steps=200))
    losses = []
    report = lambda progress: losses.append(progress.loss)  # noqa: E731
    train(model, batches, tokenize, replace(CONFIG, learning_rate=1e-5), report=report)
    first = []
    train(fresh(), batches, tokenize, replace(CONFIG, steps=6), report=lambda progress: first.append(progress.loss))
    assert losses[0] < 0.5 * first[0]


def test_bfloat16_keeps_weights_in_float32_and_learns_too():
    model, losses = fresh(), []
    config = replace(CONFIG, steps=100, precision="bfloat16")
    train(model, batches, tokenize, config, report=lambda progress: losses.append(progress.loss))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:10])


def test_only_matrices_decay():
    model = fresh()
    before = weights(model)
    # A learning rate of almost nothing: whatever moves far is moved by decay.
    config = TrainConfig(steps=1, learning_rate=1e-6, warmup_steps=0, weight_decay=1e5)
    train(model, batches, tokenize, config)
    for name, value in model.state_dict().items():
        shrunk = torch.allclose(value, 0.9 * before[name], atol=1e-5) and before[name].abs().max() > 1e-3
        matrix = name.endswith("weight") and ".norm" not in name
        assert shrunk == matrix, name


def test_the_schedule_rises_to_the_top_and_falls_to_nothing():
    config = TrainConfig(steps=100, learning_rate=1.0, warmup_steps=10)
    rates = [config.learning_rate_at(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == rates[10] == 1.0
    assert all(a > b for a, b in pairwise(rates[10:]))
    assert 0 < rates[-1] < 1e-3


@pytest.mark.parametrize(
    "wrong",
    [{"steps": 0}, {"warmup_steps": 30}, {"learning_rate": 0.0}, {"clip_norm": 0.0}, {"precision": "float16"}],
)
def test_a_config_that_cannot_train_is_refused(wrong):
    with pytest.raises(SiglipError, match="must be"):
        replace(CONFIG, **wrong)


def test_data_that_ends_and_a_loss_that_is_not_finite_stop_the_run():
    with pytest.raises(SiglipError, match="the data ended before step 3 of 30"):
        train(fresh(), lambda step: iter([next(batches(0))] * 2), tokenize, CONFIG)
    broken = fresh()
    with torch.no_grad():
        broken.logit_scale.fill_(float("nan"))
    with pytest.raises(SiglipError, match="the loss is nan at step 1"):
        train(broken, batches, tokenize, CONFIG)


def test_texts_in_the_place_of_images_teach_the_text_tower_alone():
    model, losses = fresh(), []
    before = weights(model)

    def caption_batches(step):
        for _, texts in batches(step):
            yield [str(int(text) + 20) for text in texts], texts

    config = replace(CONFIG, steps=200)
    train(model, caption_batches, tokenize, config, report=lambda progress: losses.append(progress.loss))
    assert np.mean(losses[-10:]) < 0.3 * np.mean(losses[:10])
    changed = {name.split(".")[0] for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"text", "logit_scale", "logit_bias"}


def test_at_a_text_rate_of_zero_the_text_tower_is_locked():
    model = fresh()
    before = weights(model)
    train(model, batches, tokenize, replace(CONFIG, text_rate=0.0))
    changed = {name.split(".")[0] for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"image", "logit_scale", "logit_bias"}
