"""Token scores equal plain transformers, record by record; no padding, batch or order enters them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from byrote.passes.batches import by_length
from byrote.passes.scoring import score
from fakes import TEXTS, tiny_model, tiny_tokenizer


def token_ids() -> list[list[int]]:
    tokenizer = tiny_tokenizer()
    return [*(tokenizer(text).input_ids for text in TEXTS), [5], [7, 8]]


NAMES = [f"r{i}" for i in range(12)]


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "gpt_neox", "gemma2"])
def test_scores_equal_one_record_at_a_time(model_type: str):
    model, ids = tiny_model(model_type), token_ids()
    scores = score(model, NAMES, ids, 100)
    for span, tokens in zip(scores.spans(), ids, strict=True):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([tokens])).logits[0, :-1]
        logp = logits.double().log_softmax(-1).numpy()
        picked = logp[np.arange(len(tokens) - 1), tokens[1:]]
        np.testing.assert_allclose(scores.logprob[span], picked, atol=1e-4)
        np.testing.assert_array_equal(scores.top1[span], logp.argmax(-1) == tokens[1:])
        p = np.exp(logp)
        mean = (p * logp).sum(-1)
        np.testing.assert_allclose(scores.mean[span], mean, atol=1e-4)
        np.testing.assert_allclose(scores.std[span], np.sqrt((p * logp**2).sum(-1) - mean**2), atol=1e-3)


def test_scores_do_not_depend_on_batch_or_order():
    model, ids = tiny_model(), token_ids()
    alone, together = score(model, NAMES, ids, 1), score(model, NAMES, ids, 10_000)
    np.testing.assert_allclose(alone.logprob, together.logprob, atol=1e-5)
    backwards = score(model, NAMES[::-1], ids[::-1], 60).take(NAMES)
    np.testing.assert_allclose(alone.logprob, backwards.logprob, atol=1e-5)
    again = score(model, NAMES, ids, 60)
    np.testing.assert_array_equal(again.take(NAMES).logprob, score(model, NAMES, ids, 60).logprob)


def test_a_record_of_t_tokens_has_t_minus_one_scores():
    scores = score(tiny_model(), NAMES, token_ids(), 60)
    assert scores.lengths.tolist() == [len(ids) - 1 for ids in token_ids()]
    assert scores.lengths[10] == 0


def test_training_mode_is_refused():
    with pytest.raises(ValueError, match="eval mode"):
        score(tiny_model().train(), ["a"], [[1, 2]], 10)


@given(st.lists(st.integers(1, 20), max_size=30), st.integers(1, 60))
def test_every_sequence_stands_in_one_batch_of_like_lengths(lengths: list[int], most: int):
    batches = by_length(lengths, most)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or sum(lengths[i] for i in batch) <= most
    flat = [lengths[i] for batch in batches for i in batch]
    assert flat == sorted(lengths, reverse=True)


def test_batches_are_of_like_size():
    sizes = [len(batch) for batch in by_length([10] * 11, 50)]
    assert sizes == [4, 4, 3]  # not 5, 5, 1


def test_a_text_that_stands_twice_is_scored_once_and_both_have_its_scores():
    tokens_reported: list[int] = []
    ids = token_ids()
    twice = [*ids, ids[0], ids[3]]
    scores = score(tiny_model(), [*NAMES, "a", "b"], twice, 60, tokens_reported.append)
    spans = list(scores.spans())
    for copy, first in ((12, 0), (13, 3)):
        np.testing.assert_array_equal(scores.logprob[spans[copy]], scores.logprob[spans[first]])
        np.testing.assert_array_equal(scores.std[spans[copy]], scores.std[spans[first]])
    assert sum(tokens_reported) == sum(len(i) for i in twice if len(i) > 1)


def test_batches_run_side_by_side_have_an_even_number_of_like_size():
    assert [len(b) for b in by_length([10] * 12, 50, side_by_side=2)] == [3, 3, 3, 3]  # not 4, 4, 4


def test_threads_change_no_score():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        two = score(tiny_model(), NAMES, token_ids(), 60)
        torch.set_num_threads(1)
        narrow = score(tiny_model(), NAMES, token_ids(), 60)
    finally:
        torch.set_num_threads(before)
    for name in ("logprob", "top1", "mean", "std"):
        np.testing.assert_array_equal(getattr(narrow, name), getattr(two, name))
