"""A subject is opened in one place: the adapter that the run holds, or a fresh one, and the base is plain after it."""

from pathlib import Path

import pytest
import torch

from byrote import lm
from byrote.running.subject import Trained, opened
from byrote.store import Run
from byrote.study import Lora

SUBJECT = Trained(Lora(matrices=("q",), rank=2), 3, "trials/a")


@pytest.fixture
def base(tiny_folder: Path) -> lm.Base:
    return lm.load_base(lm.resolve_base(str(tiny_folder)), "fp32", "none", torch.device("cpu"))


def test_what_the_run_holds_is_opened_and_else_a_fresh_adapter(base: lm.Base, tmp_path: Path):
    run = Run(tmp_path)
    with opened(SUBJECT, lambda: base, run, base.device) as fresh:
        assert fresh.model.training
        assert not lm.adapter_is_nonzero(fresh.model)
        for weight in (p for p in fresh.model.parameters() if p.requires_grad):
            torch.nn.init.ones_(weight)
        with run.stage(SUBJECT.stage, {}) as draft:
            lm.save_adapter(fresh.model, draft.adapter, "base")
    with opened(SUBJECT, lambda: base, run, base.device) as adapted:
        assert not adapted.model.training
        assert all(p.eq(1).all() for name, p in adapted.model.named_parameters() if "lora_" in name)


def test_a_subject_that_is_closed_leaves_the_base_plain(base: lm.Base, tmp_path: Path):
    names = [name for name, _ in base.model.named_parameters()]
    for _ in range(2):
        with opened(SUBJECT, lambda: base, Run(tmp_path), base.device) as subject:
            assert [name for name, _ in base.model.named_parameters()] != names
            subject.close()
            assert [name for name, _ in base.model.named_parameters()] == names
    with pytest.raises(ValueError, match="broken"), opened(SUBJECT, lambda: base, Run(tmp_path), base.device):
        raise ValueError("broken")
    assert [name for name, _ in base.model.named_parameters()] == names
