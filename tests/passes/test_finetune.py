"""The loop: exact effective batch, token-weighted loss, schedule, clipping, seeds."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import get_linear_schedule_with_warmup

from byrote import lm
from byrote.errors import StageError, StudyError
from byrote.passes.finetune import Masked, Position, Step, _accumulate, finetune, learning_rate_at
from byrote.study import Lora, Training
from byrote.study.schedule import steps_of
from fakes import TEXTS, save_tiny_model, tiny_tokenizer

PLAIN = {"epochs": 2, "learning_rate": 1e-2, "effective_batch": 4, "warmup_steps": 1, "seed": 3}


def token_ids() -> list[list[int]]:
    tokenizer = tiny_tokenizer()
    return [*(tokenizer(text).input_ids for text in TEXTS), [5]]


@pytest.fixture
def base(tiny_folder: Path) -> lm.Base:
    return lm.load_base(lm.resolve_base(str(tiny_folder)), "fp32", "none", torch.device("cpu"))


def weights_of(adapted: lm.Adapted, which: int = 0) -> dict[str, torch.Tensor]:
    return {f"{name}.{x}": w.clone() for name, *ab in adapted.weights_of(which) for x, w in zip("AB", ab, strict=True)}


def train(base: lm.Base, micro_batch_tokens: int, dropout: float = 0.0, **changes: object):
    adapted = lm.attach(base, Lora(matrices=("q", "v"), rank=2, dropout=dropout), seed=1)
    (log,) = finetune(adapted, token_ids(), Training(**{**PLAIN, **changes}), micro_batch_tokens)  # type: ignore[arg-type]
    weights = weights_of(adapted)
    lm.detach(base, adapted)
    return log, weights


def test_the_effective_batch_is_exact_whatever_the_micro_batch(base: lm.Base):
    log_alone, weights_alone = train(base, 1)
    all_at_once, weights_all = train(base, 10_000)
    np.testing.assert_allclose([s.loss for s in log_alone], [s.loss for s in all_at_once], rtol=1e-5)
    for name, weight in weights_alone.items():
        torch.testing.assert_close(weight, weights_all[name], rtol=1e-3, atol=1e-5)


def test_memory_is_given_back_every_so_many_steps(base: lm.Base, monkeypatch: pytest.MonkeyPatch):
    given_back: list[int] = []
    monkeypatch.setattr("byrote.passes.finetune._STEPS_KEPT", 2)
    monkeypatch.setattr("byrote.passes.finetune.give_back", lambda: given_back.append(1))
    log, _ = train(base, 64)
    assert len(given_back) == len(log) // 2 > 0


def test_it_equals_a_naive_loop(base: lm.Base):
    """One record at a time, gradients summed over tokens by hand, the libraries' own schedule and optimizer."""
    log, weights = train(base, 64)
    adapted = lm.attach(base, Lora(matrices=("q", "v"), rank=2, dropout=0.0), seed=1)
    trained = [p for p in adapted.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2, weight_decay=0.0)
    schedule = get_linear_schedule_with_warmup(optimizer, 1, 6)
    ids, step = token_ids(), 0
    for epoch in range(2):
        order = np.random.default_rng([3, epoch]).permutation(len(ids))
        for batch in (order[:4], order[4:8], order[8:]):
            summed, targets = torch.zeros(()), 0
            for i in batch:
                logits = adapted(input_ids=torch.tensor([ids[i]])).logits[0]
                for place in range(len(ids[i]) - 1):
                    summed = summed - logits[place].log_softmax(-1)[ids[i][place + 1]]
                    targets += 1
            loss = summed / targets
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(trained, 1.0)
            assert log[step].loss == pytest.approx(float(loss.detach()), rel=1e-4)
            assert log[step].learning_rate == pytest.approx(optimizer.param_groups[0]["lr"])
            assert log[step].grad_norm == pytest.approx(float(norm), rel=1e-3)
            assert log[step].targets == targets
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            step += 1
    assert step == len(log) == 6
    for name, weight in weights_of(adapted).items():
        torch.testing.assert_close(weight, weights[name], rtol=1e-3, atol=1e-5)


def masks() -> list[tuple[bool, ...]]:
    """Every third token is a target; the first records are all answer, and one has no answer left."""
    lengths = [len(ids) for ids in token_ids()]
    return [(), (), (False,) * lengths[2], *(tuple(i % 3 == 0 for i in range(n)) for n in lengths[3:])]


@pytest.mark.parametrize("micro_batch_tokens", [1, 64])
def test_masked_training_equals_the_librarys_own_loss(base: lm.Base, micro_batch_tokens: int):
    """transformers' labels of −100 outside the mask, and its loss divided by the step's targets."""
    adapted = lm.attach(base, Lora(matrices=("q", "v"), rank=2, dropout=0.0), seed=1)
    training = Training(**{**PLAIN, "epochs": 1})  # type: ignore[arg-type]
    (log,) = finetune(adapted, token_ids(), training, micro_batch_tokens, answer_masks=masks())
    weights = weights_of(adapted)
    lm.detach(base, adapted)
    adapted = lm.attach(base, Lora(matrices=("q", "v"), rank=2, dropout=0.0), seed=1)
    trained = [p for p in adapted.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2, weight_decay=0.0)
    schedule = get_linear_schedule_with_warmup(optimizer, 1, 3)
    ids = token_ids()
    order = np.random.default_rng([3, 0]).permutation(len(ids))
    for step, batch in enumerate((order[:4], order[4:8], order[8:])):
        labels = [[t if not m or m[k] else -100 for k, t in enumerate(ids[i])] for i in batch for m in [masks()[i]]]
        targets = sum(label != -100 for row in labels for label in row[1:])
        loss = torch.zeros(())
        for i, row in zip(batch, labels, strict=True):
            logits = adapted(input_ids=torch.tensor([ids[i]])).logits[0, :-1]
            wanted = torch.tensor(row[1:], dtype=torch.long)
            loss = loss + torch.nn.functional.cross_entropy(logits, wanted, ignore_index=-100, reduction="sum")
        loss = loss / targets
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        assert log[step].loss == pytest.approx(float(loss.detach()), rel=1e-4)
        assert log[step].targets == targets
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    for name, weight in weights_of(adapted).items():
        torch.testing.assert_close(weight, weights[name], rtol=1e-3, atol=1e-5)


def test_a_stack_is_trained_on_the_same_mask(base: lm.Base):
    lora, training = Lora(matrices=("v",), rank=2, dropout=0.0), Training(**PLAIN)  # type: ignore[arg-type]
    stack = lm.attach_stack(base, [lora, lora], [1, 2])
    logs = finetune(stack, token_ids(), training, 64, answer_masks=masks())
    lm.detach(base, stack)
    for log, seed in zip(logs, (1, 2), strict=True):
        adapted = lm.attach(base, lora, seed)
        (alone,) = finetune(adapted, token_ids(), training, 64, answer_masks=masks())
        lm.detach(base, adapted)
        np.testing.assert_allclose([s.loss for s in log], [s.loss for s in alone], rtol=1e-4)


@pytest.mark.parametrize(("warmup", "steps"), [(0, 5), (3, 10), (10, 10), (100, 138)])
def test_the_schedule_is_that_of_the_reference(warmup: int, steps: int):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedule = get_linear_schedule_with_warmup(optimizer, warmup, steps)
    training = Training(learning_rate=1.0, warmup_steps=warmup)
    for step in range(steps):
        assert learning_rate_at(step, steps, training) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()


def test_a_training_stops_after_its_steps_with_the_schedule_fitted_to_them(base: lm.Base):
    whole, _ = train(base, 64)
    assert len(whole) == 6
    short, _ = train(base, 64, steps=4)
    assert [(s.epoch, s.steps, s.targets) for s in short] == [(s.epoch, 4, s.targets) for s in whole[:4]]
    rates = [learning_rate_at(step, 4, Training(learning_rate=1e-2, warmup_steps=1)) for step in range(4)]
    assert [s.learning_rate for s in short] == pytest.approx(rates)
    assert len(train(base, 64, steps=2)[0]) == 2  # within the first epoch
    with pytest.raises(StudyError, match=r"steps is 7, but 11 records .* for 2 epochs make 6 steps; raise training.ep"):
        steps_of(11, Training(**{**PLAIN, "steps": 7}))  # type: ignore[arg-type]


def test_a_warmup_longer_than_the_training_is_an_error_before_the_first_step(base: lm.Base):
    adapted = lm.attach(base, Lora(matrices=("v",)), 0)
    with pytest.raises(StudyError, match="warmup_steps is 100"):
        finetune(adapted, token_ids(), Training(**{**PLAIN, "warmup_steps": 100}), 64)
    lm.detach(base, adapted)


def test_the_same_seed_gives_the_same_weights_and_another_gives_others(base: lm.Base):
    (_, weights), (_, same), (_, other) = (train(base, 64, dropout=0.3, **changes) for changes in ({}, {}, {"seed": 4}))
    assert all(torch.equal(weights[name], same[name]) for name in weights)
    assert any(not torch.equal(weights[name], other[name]) for name in weights)


def test_global_random_state_is_left_alone(base: lm.Base):
    before = torch.get_rng_state()
    train(base, 64, dropout=0.3)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_base_is_unchanged_and_the_model_ends_in_eval_mode(base: lm.Base):
    before = {n: p.clone() for n, p in base.model.named_parameters()}
    adapted = lm.attach(base, Lora(), seed=1)
    finetune(adapted, token_ids(), Training(**PLAIN), 64)
    assert not adapted.training
    assert lm.adapter_is_nonzero(adapted)
    lm.detach(base, adapted)
    assert all(torch.equal(p, before[n]) for n, p in base.model.named_parameters())


def test_a_loss_that_is_no_number_names_the_step(base: lm.Base):
    adapted = lm.attach(base, Lora(), seed=1)
    with pytest.raises(StageError, match=r"the loss is nan at step \d; lower training\.learning_rate"):
        finetune(adapted, token_ids(), Training(**{**PLAIN, "learning_rate": 1e37, "warmup_steps": 0}), 64)


def test_the_log_counts_real_tokens(base: lm.Base):
    log, _ = train(base, 64, epochs=1)
    assert sum(s.tokens for s in log) == sum(map(len, token_ids()))
    assert [s.step for s in log] == [0, 1, 2]
    assert all(math.isfinite(s.grad_norm) and s.seconds > 0 for s in log)


STACK = [
    Lora(matrices=("q", "v"), rank=2, dropout=0.2),
    Lora(matrices=("v",), rank=5, scaling="rslora", dropout=0.0),
    Lora(matrices=("o", "down"), rank=1, alpha=4, dropout=0.5),
]


def test_a_stack_in_one_pass_learns_what_each_adapter_learns_alone(base: lm.Base):
    """Same order, each adapter its own start, ranks, matrices, dropout and clipping; equal up to float order."""
    training, seeds = Training(**{**PLAIN, "max_grad_norm": 0.5}), (3, 4, 5)
    stacked = lm.attach_stack(base, STACK, seeds)
    steps_heard: list[tuple[Step, ...]] = []
    logs = finetune(stacked, token_ids(), training, 40, steps_heard.append)
    together = [weights_of(stacked, which) for which in range(3)]
    lm.detach(base, stacked)
    assert [[step[k] for step in steps_heard] for k in range(3)] == logs
    for which, lora in enumerate(STACK):
        alone = lm.attach(base, lora, seeds[which])
        (log,) = finetune(alone, token_ids(), training, 40)
        np.testing.assert_allclose([s.loss for s in log], [s.loss for s in logs[which]], rtol=1e-4)
        np.testing.assert_allclose([s.grad_norm for s in log], [s.grad_norm for s in logs[which]], rtol=1e-3)
        for name, weight in weights_of(alone).items():
            torch.testing.assert_close(weight, together[which][name], rtol=1e-3, atol=1e-4)
        assert max(s.grad_norm for s in log) > 0.5  # clipping was needed, and is each adapter's own
        lm.detach(base, alone)


class Crowded(torch.nn.Module):
    """Stands in the embeddings' place and has no room for more than `most` tokens."""

    def __init__(self, inner: torch.nn.Module, most: int) -> None:
        super().__init__()
        self.inner, self.most, self.refused = inner, most, 0

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        if ids.numel() > self.most:
            self.refused += 1
            raise torch.OutOfMemoryError("out of memory")
        return self.inner(ids)


def crowd(base: lm.Base, most: int) -> Crowded:
    crowded = Crowded(base.model.get_input_embeddings(), most)
    base.model.set_input_embeddings(crowded)  # type: ignore[arg-type]
    return crowded


def test_out_of_memory_halves_the_micro_batch_and_changes_nothing_else(base: lm.Base):
    longest = max(map(len, token_ids()))
    log, weights = train(base, 2 * longest // 2)
    crowded = crowd(base, longest)
    small, weights_small = train(base, 8 * longest)
    assert crowded.refused >= 2
    assert all(s.micro_batch_tokens <= longest for s in small)
    assert small[-1].micro_batch_tokens == small[0].micro_batch_tokens  # never again
    assert not any(s.checkpointing for s in small)
    np.testing.assert_allclose([s.loss for s in small], [s.loss for s in log], rtol=1e-5)
    for name, weight in weights.items():
        torch.testing.assert_close(weights_small[name], weight, rtol=1e-3, atol=1e-5)


def test_a_record_that_never_fits_is_an_error_with_the_way_out(base: lm.Base):
    crowd(base, 3)
    with pytest.raises(StageError, match=r"one record does not fit into memory.* set corpus\.max_tokens lower"):
        train(base, 64)


def test_checkpointing_gives_the_same_gradients_with_the_same_dropout(base: lm.Base):
    adapted = lm.attach(base, Lora(matrices=("q", "v"), rank=2, dropout=0.3), seed=1)
    runs = []
    for on in (False, True):
        adapted.checkpoint(on)
        adapted.zero_grad()
        for _, _, b in adapted.weights_of(0):
            b.fill_(0.05)
        with lm.packing(adapted):
            losses = _accumulate(adapted, [Masked(ids, ()) for ids in token_ids()], 7, 64)
        runs.append((losses, [g.clone() for g in adapted.gradients_of(0)]))
    assert runs[0][0] == pytest.approx(runs[1][0])
    for plain, again in zip(runs[0][1], runs[1][1], strict=True):
        assert plain.any()
        torch.testing.assert_close(plain, again, rtol=1e-4, atol=1e-6)


@pytest.mark.usefixtures("two_threads")
def test_micro_batches_side_by_side_teach_what_they_teach_one_after_the_other(base: lm.Base):
    beside, weights_beside = train(base, 64)
    torch.set_num_threads(1)
    alone, weights_alone = train(base, 64)
    np.testing.assert_allclose([s.loss for s in beside], [s.loss for s in alone], rtol=1e-5)
    for name, weight in weights_beside.items():
        torch.testing.assert_close(weight, weights_alone[name], rtol=1e-3, atol=1e-5)


@pytest.mark.usefixtures("two_threads")
def test_side_by_side_the_same_training_gives_the_same_numbers(base: lm.Base):
    """Dropout is drawn by place, and sums are taken in an order of their own, whichever thread is first."""
    first, weights_first = train(base, 20, dropout=0.3)
    second, weights_second = train(base, 20, dropout=0.3)
    assert [s.loss for s in first] == [s.loss for s in second]
    assert all(torch.equal(weight, weights_second[name]) for name, weight in weights_first.items())


class Interrupted(Exception):  # noqa: N818 (stands for a kill)
    """Ends a training in its middle."""


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])  # gpt2 has dropout of its own, from the global generator
@pytest.mark.parametrize("after", [1, 3, 5])  # in the first epoch, at its end, in the second
def test_a_training_that_goes_on_gives_the_same_bytes_and_does_the_rest_alone(
    architecture: str, after: int, tmp_path: Path
):
    base = lm.load_base(
        lm.resolve_base(str(save_tiny_model(tmp_path, architecture))), "fp32", "none", torch.device("cpu")
    )
    lora = [Lora(matrices=("all-linear",), rank=2, dropout=0.3), Lora(matrices=("all-linear",), rank=1, dropout=0.1)]
    training, kept = Training(**PLAIN, weight_decay=0.1), []

    def keep(position: Callable[[], Position]) -> None:
        kept.append(position())
        if len(kept) == after:
            raise Interrupted

    whole = lm.attach_stack(base, lora, [1, 2])
    log = finetune(whole, token_ids(), training, 40)
    weights = [weights_of(whole, which) for which in (0, 1)]
    lm.detach(base, whole)
    broken = lm.attach_stack(base, lora, [1, 2])
    with pytest.raises(Interrupted):
        finetune(broken, token_ids(), training, 40, on_position=keep)
    lm.detach(base, broken)
    again, logs = lm.attach_stack(base, lora, [1, 2]), []
    log_again = finetune(again, token_ids(), training, 999, logs.append, resume=kept[-1])
    assert [step[0].step for step in logs] == list(range(after, 6))
    assert [[replace(s, seconds=0) for s in steps] for steps in log_again] == [
        [replace(s, seconds=0) for s in steps] for steps in log
    ]
    for which in (0, 1):
        separate = weights_of(again, which)
        assert all(torch.equal(weight, separate[name]) for name, weight in weights[which].items())


def test_a_training_goes_on_with_the_room_that_it_had_come_to(base: lm.Base):
    crowd(base, longest := max(map(len, token_ids())))
    kept: list[Position] = []
    adapted = lm.attach(base, Lora(), seed=1)
    finetune(adapted, token_ids(), Training(**PLAIN), 8 * longest, on_position=lambda p: kept.append(p()))
    lm.detach(base, adapted)
    crowded, again = base.model.get_input_embeddings(), lm.attach(base, Lora(), seed=1)
    before = crowded.refused
    finetune(again, token_ids(), Training(**PLAIN), 8 * longest, resume=kept[2])
    assert crowded.refused == before


def test_a_position_of_another_adapter_is_refused(base: lm.Base):
    kept: list[Position] = []
    adapted = lm.attach(base, Lora(rank=2), seed=1)
    finetune(adapted, token_ids(), Training(**PLAIN), 64, on_position=lambda p: kept.append(p()))
    lm.detach(base, adapted)
    with pytest.raises(ValueError, match="of other adapters"):
        finetune(lm.attach(base, Lora(rank=3), seed=1), token_ids(), Training(**PLAIN), 64, resume=kept[0])
