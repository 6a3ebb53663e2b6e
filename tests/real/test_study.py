"""The instruments on SmolLM2-135M: scores as plain transformers gives them, and an effect that is really there."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

import byrote
from byrote import lm
from byrote.corpora import load_corpus
from byrote.passes.scoring import score
from byrote.study import AdverseEventsCorpus

pytestmark = pytest.mark.real


def test_token_scores_equal_plain_transformers_one_record_at_a_time():
    files = lm.resolve_base("smollm2-135m")
    records = load_corpus(AdverseEventsCorpus(source="adverse_events", size=8)).records
    token_ids = lm.load_tokenizer(files).encode([r.text for r in records], append_eos=False)
    base = lm.load_base(files, "fp32", "none", torch.device("cpu"))
    scores = score(base.model, [r.record for r in records], token_ids, 512)
    plain = AutoModelForCausalLM.from_pretrained(files.folder, dtype=torch.float32, attn_implementation="sdpa").eval()
    for span, ids in zip(scores.spans(), token_ids, strict=True):
        with torch.no_grad():
            logits = plain(input_ids=torch.tensor([ids])).logits[0, :-1]
        expected = logits.log_softmax(-1).gather(-1, torch.tensor(ids)[1:, None])[:, 0].numpy()
        np.testing.assert_allclose(scores.logprob[span], expected, atol=1e-4)


def test_a_small_study_sees_what_was_learned(tmp_path: Path):
    changes = {
        "corpus.size": 30,
        "grid.matrices": [["v"]],
        "training.epochs": 6,
        "extraction.prompts.members": 3,
        "extraction.prompts.nonmembers": 3,
    }
    outcome = byrote.run("demo", tmp_path / "run", changes)
    assert outcome.failures == ()
    tables = byrote.load(outcome.path).tables
    membership = tables.membership.set_index("attack")
    assert membership.loc["ratio", "auc"] > 0.75
    assert abs(membership.loc["loss", "auc_control"] - 0.5) < 0.2
    assert (tables.trials.perplexity_tuned < tables.trials.perplexity_base).all()
    assert len(tables.extraction) == 2 * 6 * 2
