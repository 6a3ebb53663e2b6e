"""Completions: greedy as transformers writes them, sampled from the stated distribution, batched as if alone."""

import numpy as np
import pytest
import torch

from byrote.passes.generation import Prompt, choose, complete, complete_freely, decoding_logprobs, suffix_chances
from byrote.passes.scoring import score
from byrote.study import Extraction, Untargeted
from fakes import TEXTS, tiny_model, tiny_tokenizer

DECODE = tiny_tokenizer().decode


def prompts(short: int = 10) -> list[Prompt]:
    tokenizer = tiny_tokenizer()
    ids = [tuple(tokenizer(text).input_ids) for text in TEXTS[:short]]
    return [Prompt(f"r{i}", tokens, len(tokens) // 2, 0.5) for i, tokens in enumerate(ids)]


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "gpt_neox", "opt", "gemma2"])
def test_greedy_equals_transformers_generate(model_type: str):
    model = tiny_model(model_type)
    completions = complete(model, prompts(), Extraction(temperatures=(0.0,)), None, DECODE, 4)
    for prompt, completion in zip(prompts(), completions, strict=True):
        start = torch.tensor([prompt.token_ids[: prompt.prefix_tokens]])
        written = model.generate(
            start,
            attention_mask=torch.ones_like(start),
            do_sample=False,
            max_new_tokens=len(prompt.suffix),
            eos_token_id=None,
            pad_token_id=0,
        )
        assert list(completion.token_ids) == written[0, start.shape[1] :].tolist()
        assert len(completion.token_ids) == completion.suffix_tokens == len(prompt.suffix)


def test_a_completion_does_not_depend_on_its_batch():
    model, decoding = tiny_model(), Extraction(temperatures=(0.0, 1.0), samples=2)
    alone = complete(model, prompts(), decoding, 0, DECODE, 1)
    together = complete(model, prompts(), decoding, 0, DECODE, 64)
    assert [c.token_ids for c in alone] == [c.token_ids for c in together]
    np.testing.assert_allclose(
        np.concatenate([c.logprob for c in alone]), np.concatenate([c.logprob for c in together]), atol=1e-4
    )
    fewer = complete(model, prompts()[3:5], decoding.model_copy(update={"temperatures": (1.0,)}), 0, DECODE, 64)
    expected = [c for c in together if c.record in ("r3", "r4") and c.temperature == 1.0]
    assert [c.token_ids for c in fewer] == [c.token_ids for c in expected]


def test_order_and_number_of_completions():
    completions = complete(tiny_model(), prompts(2), Extraction(temperatures=(0.0, 0.5), samples=3), None, DECODE, 3)
    assert [(c.record, c.temperature, c.sample) for c in completions] == [
        (record, temperature, sample)
        for record in ("r0", "r1")
        for temperature, samples in ((0.0, 1), (0.5, 3))
        for sample in range(samples)
    ]
    assert len({c.token_ids for c in completions if c.record == "r0"}) > 1


def test_logprobs_are_those_of_the_untempered_model():
    model = tiny_model()
    completion = complete(model, prompts(1), Extraction(temperatures=(2.0,), top_k=5), None, DECODE, 1)[0]
    prompt = prompts(1)[0]
    ids = torch.tensor([[*prompt.token_ids[: prompt.prefix_tokens], *completion.token_ids]])
    with torch.no_grad():
        logp = model(input_ids=ids).logits[0].log_softmax(-1)
    places = range(prompt.prefix_tokens - 1, ids.shape[1] - 1)
    expected = [float(logp[place, ids[0, place + 1]]) for place in places]
    np.testing.assert_allclose(completion.logprob, expected, atol=1e-4)


def test_it_stops_at_the_end_of_text_and_keeps_that_id():
    model = tiny_model()
    free = complete(model, prompts(), Extraction(temperatures=(0.0,)), None, DECODE, 64)
    longest = max(free, key=lambda c: len(c.token_ids))
    eos = longest.token_ids[2]
    stopped = complete(model, prompts(), Extraction(temperatures=(0.0,)), eos, DECODE, 64)
    for before, after in zip(free, stopped, strict=True):
        cut = before.token_ids.index(eos) + 1 if eos in before.token_ids else len(before.token_ids)
        assert after.token_ids == before.token_ids[:cut]


def test_another_seed_draws_otherwise_and_the_same_seed_the_same():
    model = tiny_model()
    drawn, same, other = (
        [c.token_ids for c in complete(model, prompts(3), Extraction(temperatures=(1.0,), seed=seed), None, DECODE, 8)]
        for seed in (0, 0, 1)
    )
    assert drawn == same != other


def test_draws_follow_the_distribution():
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0]]).repeat(20_000, 1)
    uniforms = torch.from_numpy(np.random.default_rng(0).random(20_000))
    drawn = choose(logits, torch.full((20_000,), 0.7), uniforms, 0, 1.0)
    expected = torch.softmax(logits[0] / 0.7, -1).numpy()
    shares = np.bincount(drawn.numpy(), minlength=4) / 20_000
    np.testing.assert_allclose(shares, expected, atol=4 * np.sqrt(0.25 / 20_000))


@pytest.mark.parametrize(
    ("top_k", "top_p", "kept"),
    [
        (0, 1.0, [0, 1, 2, 3]),
        (2, 1.0, [0, 1]),
        (0, 0.6, [0]),
        (0, 0.7, [0, 1]),
        (3, 0.95, [0, 1, 2]),
        (9, 1.0, [0, 1, 2, 3]),
    ],
)
def test_top_k_and_top_p_keep_the_likeliest(top_k: int, top_p: float, kept: list[int]):
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0]])  # probabilities .644 .237 .087 .032
    probabilities = decoding_logprobs(logits, torch.tensor([1.0]), top_k, top_p)[0].exp()
    plain = torch.softmax(logits[0], -1)
    expected = torch.zeros(4)
    expected[kept] = plain[kept] / plain[kept].sum()
    torch.testing.assert_close(probabilities, expected)


def test_training_mode_is_refused():
    with pytest.raises(ValueError, match="eval mode"):
        complete(tiny_model().train(), prompts(1), Extraction(), None, DECODE, 1)


def test_a_draw_inverts_the_cumulated_probabilities():
    """The naive twin cumulates over the whole vocabulary; 700 tokens make three blocks, the last not full."""
    generator = np.random.default_rng(1)
    logits = torch.from_numpy(generator.normal(0, 3, (300, 700)))
    uniforms = generator.random(300)
    chosen = choose(logits, torch.full((300,), 1.3), torch.from_numpy(uniforms), 40, 0.9)
    chances = decoding_logprobs(logits, torch.full((300,), 1.3), 40, 0.9).exp().numpy()
    for row in range(300):
        total, wanted, token = 0.0, uniforms[row] * chances[row].sum(), 0
        for token in range(700):
            total += chances[row][token]
            if total > wanted:
                break
        assert int(chosen[row]) == token
        assert chances[row][token] > 0


@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-53])
def test_the_ends_of_the_unit_interval_draw_tokens_that_can_be_drawn(uniform: float):
    logits = torch.full((1, 600), -torch.inf)
    logits[0, [3, 300, 301]] = 0.0
    drawn = choose(logits, torch.ones(1), torch.tensor([uniform], dtype=torch.float64), 0, 1.0)
    assert int(drawn) == (3 if uniform == 0 else 301)


def test_texts_are_decoded_and_a_completion_may_differ_from_the_suffix():
    completion = complete(tiny_model(), prompts(1), Extraction(temperatures=(0.0,)), None, DECODE, 1)[0]
    assert completion.suffix_text == DECODE(prompts(1)[0].suffix)
    assert completion.text == DECODE(completion.token_ids) != completion.suffix_text


@pytest.mark.parametrize("model_type", ["llama", "gemma2", "opt"])
@pytest.mark.parametrize(("top_k", "top_p"), [(0, 1.0), (200, 1.0), (0, 0.99)])
def test_the_chance_of_a_suffix_is_the_product_over_its_tokens(model_type: str, top_k: int, top_p: float):
    model, temperatures = tiny_model(model_type), (0.0, 0.5, 2.0)
    extraction = Extraction(temperatures=temperatures, top_k=top_k, top_p=top_p)
    chances = suffix_chances(model, prompts(4), extraction, 60)
    assert [(c.record, c.temperature) for c in chances] == [(f"r{i}", t) for i in range(4) for t in temperatures[1:]]
    for chance, prompt in zip(chances, [p for p in prompts(4) for _ in range(2)], strict=True):
        expected = 0.0
        for place in range(prompt.prefix_tokens, len(prompt.token_ids)):
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([prompt.token_ids[:place]])).logits[:, -1]
            logp = decoding_logprobs(logits, torch.tensor([chance.temperature]), top_k, top_p)[0]
            expected += float(logp[prompt.token_ids[place]])
        assert chance.log_probability == pytest.approx(expected, abs=1e-3)
        assert (chance.prefix_tokens, chance.suffix_tokens) == (prompt.prefix_tokens, len(prompt.suffix))


def test_draws_agree_with_the_chance_of_a_suffix():
    """A suffix of one token is drawn as often as its probability says."""
    model, (prompt,) = tiny_model(), prompts(1)
    start = prompt.start
    with torch.no_grad():
        likely = int(model(input_ids=torch.tensor([start])).logits[0, -1].argmax())
    likeliest = Prompt("r", (*start, likely), len(start), 0.5)
    extraction = Extraction(temperatures=(1.5,), samples=2000)
    p = np.exp(suffix_chances(model, [likeliest], extraction, 60)[0].log_probability)
    hits = np.mean([c.token_ids == (likely,) for c in complete(model, [likeliest], extraction, None, DECODE, 2000)])
    assert 0.02 < p < 0.98
    assert hits == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / 2000))


# --- from an empty prompt ---------------------------------------------------------------------------------------


def free(model: torch.nn.Module, start: int = 0, eos: int | None = None, batch: int = 64, **changes: object) -> list:
    wanted = {"completions": 6, "tokens": 12, **{k: v for k, v in changes.items() if k in Untargeted.model_fields}}
    others = {k: v for k, v in changes.items() if k not in Untargeted.model_fields}
    return complete_freely(
        model,
        start,
        Extraction(untargeted=Untargeted(**wanted), **others),
        eos,
        DECODE,
        batch,  # type: ignore[arg-type]
    )


def test_an_empty_prompt_is_one_start_token_that_the_completion_leaves_out():
    """With one token kept, drawing is greedy, and equals what transformers writes after the start token."""
    model = tiny_model()
    start = torch.tensor([[5]])
    written = model.generate(
        start, attention_mask=torch.ones_like(start), do_sample=False, max_new_tokens=12, eos_token_id=None,
        pad_token_id=0,
    )  # fmt: skip
    for number, completion in enumerate(free(model, start=5, top_k=1)):
        assert completion.sample == number
        assert list(completion.token_ids) == written[0, 1:].tolist()
        assert completion.text == DECODE(completion.token_ids)


def test_a_free_completion_does_not_depend_on_its_batch_or_on_how_many_there_are():
    model = tiny_model()
    alone, together = free(model, batch=1), free(model)
    assert [c.token_ids for c in alone] == [c.token_ids for c in together]
    assert [c.token_ids for c in free(model, completions=2)] == [c.token_ids for c in together[:2]]
    assert len({c.token_ids for c in together}) == 6
    assert [c.token_ids for c in free(model, seed=1)] != [c.token_ids for c in together]
    assert free(model, completions=0) == []


def test_a_free_completion_ends_with_the_text():
    model = tiny_model()
    whole = free(model)
    eos = whole[0].token_ids[3]
    for before, after in zip(whole, free(model, eos=eos), strict=True):
        cut = before.token_ids.index(eos) + 1 if eos in before.token_ids else len(before.token_ids)
        assert after.token_ids == before.token_ids[:cut]


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "gemma2"])
def test_scored_after_the_start_token_every_token_has_the_log_probability_it_was_written_with(model_type: str):
    model = tiny_model(model_type)
    written = free(model, start=5, temperature=1.7, top_k=40)
    scores = score(model, [str(c.sample) for c in written], [(5, *c.token_ids) for c in written], 30)
    for completion, span in zip(written, scores.spans(), strict=True):
        with torch.no_grad():
            logp = model(input_ids=torch.tensor([[5, *completion.token_ids]])).logits[0, :-1].log_softmax(-1)
        direct = logp.gather(-1, torch.tensor(completion.token_ids)[:, None])[:, 0].numpy()
        np.testing.assert_allclose(scores.logprob[span], direct, atol=1e-4)
        np.testing.assert_allclose(completion.logprob, direct, atol=1e-4)


def test_free_completions_in_training_mode_are_refused():
    with pytest.raises(ValueError, match="eval mode"):
        free(tiny_model().train())
