"""Which number format is taken: the rule on given rates, how rates are measured and kept. No test waits for a clock."""

import json
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from byrote.errors import ModelError
from byrote.lm import Precision, Rates, choose_precision, memory, precision, precision_of, products
from byrote.lm.base import product_shapes
from byrote.lm.precision import faster, keep_precision
from byrote.lm.products import Shapes, least_seconds, pass_seconds, product_flops, product_rates
from byrote.lm.sources import resolve_base

CPU, SHAPES = torch.device("cpu"), {(32, 64): 3, (64, 32): 1}


def rates(bf16: float, fp32: float) -> Rates:
    return Rates(bf16 * 1e9, fp32 * 1e9, 2, "a processor")


def never() -> Rates:
    raise AssertionError("nothing needs measuring")


@pytest.fixture
def instructions(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Have the processor have instructions for bf16, or not."""
    return lambda has: monkeypatch.setattr(precision, "multiplies_bf16", lambda _: has)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BYROTE_CACHE", str(tmp_path))
    return tmp_path / "products"


# --- the rule ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bf16", "taken"), [(85, "fp32"), (160, "fp32"), (191, "fp32"), (192, "bf16"), (1600, "bf16")])
def test_bf16_is_taken_where_it_is_worth_its_rounding(bf16: float, taken: str) -> None:
    chosen = faster(rates(bf16, 160))
    assert (chosen.format, chosen.rates) == (taken, rates(bf16, 160))
    assert str(chosen) == f"{taken} (products: bf16 {bf16} and fp32 160 GFLOP/s on 2 threads)"


def test_only_auto_on_a_processor_with_the_instructions_measures(instructions: Callable[[bool], None]) -> None:
    instructions(True)
    assert choose_precision("auto", CPU, lambda: rates(300, 160)).format == "bf16"
    assert choose_precision("auto", CPU, lambda: rates(85, 160)).format == "fp32"
    assert choose_precision("auto", torch.device("cuda", 0), never) == Precision("bf16", "the GPU supports it")
    assert [choose_precision(name, CPU, never).format for name in ("fp32", "bf16")] == ["fp32", "bf16"]
    assert choose_precision("fp16", torch.device("cuda", 0), never).format == "fp16"
    instructions(False)
    assert choose_precision("auto", CPU, never) == Precision("fp32", "this processor has no instructions for bf16")


def test_formats_that_cannot_be_computed() -> None:
    with pytest.raises(ModelError, match=r"'fp16' needs a GPU.*use fp32 or bf16"):
        choose_precision("fp16", CPU, never)
    with pytest.raises(ModelError, match="got 'int4'"):
        choose_precision("int4", CPU, never)
    with pytest.raises(ModelError, match="'fp16' needs a GPU"):
        keep_precision("fp16", faster(rates(1, 1)), CPU)


def test_a_run_keeps_its_format_and_says_what_this_machine_would_choose() -> None:
    own = faster(rates(85, 160))
    kept = keep_precision("bf16", own, CPU)
    assert (kept.format, kept.instead_of, kept.rates) == ("bf16", "fp32", own.rates)
    assert kept.why == (
        "keeps bf16, which the run began with; this machine's own choice would be fp32 "
        "(products: bf16 85 and fp32 160 GFLOP/s on 2 threads)"
    )
    assert keep_precision("fp32", own, CPU) is own


def test_a_named_format_is_not_replaced_by_the_runs(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, instructions: Callable[[bool], None]
) -> None:
    instructions(True)
    monkeypatch.setattr(products, "product_rates", lambda *_: rates(85, 160))
    files = resolve_base(str(tiny_folder))
    assert precision_of(files, "fp32", CPU, 2, kept="bf16") == Precision("fp32", "model.precision")
    assert precision_of(files, "auto", CPU, 2, kept="bf16").format == "bf16"
    assert precision_of(files, "auto", CPU, 2).format == "fp32"


# --- measuring --------------------------------------------------------------------------------------------------


def clock(bf16: Iterator[float] | None, fp32: Iterator[float]) -> tuple[Callable[[str], float], list[str]]:
    turns: list[str] = []

    def seconds(name: str) -> float:
        turns.append(name)
        return next(fp32) if name == "fp32" or bf16 is None else next(bf16)

    return seconds, turns


def test_formats_take_turns_and_the_least_of_halves_that_agree_counts() -> None:
    bf16, fp32 = [5, 5, 2.0, 5, 5, 9, 2.1, 9, 9, 9], [8, 4.0, 8, 8, 8, 4.3, 8, 8, 8, 8]
    seconds, turns = clock(iter(bf16), iter(fp32))
    assert least_seconds(seconds) == {"bf16": 2.0, "fp32": 4.0}
    assert turns == ["bf16", "fp32"] * 10


def test_halves_that_differ_by_more_than_a_tenth_are_measured_again() -> None:
    calm, disturbed = [4.0] * 5, [4.5] * 5
    seconds, turns = clock(iter([1.0] * 20), iter([*calm, *disturbed, *calm, *calm]))
    assert least_seconds(seconds) == {"bf16": 1.0, "fp32": 4.0}
    assert len(turns) == 40


def test_a_machine_that_never_rests_is_measured_to_an_end() -> None:
    seconds, turns = clock(iter([1.0] * 50), iter([*([4.0] * 5), *([9.0] * 5)] * 5))
    assert least_seconds(seconds) == {"bf16": 1.0, "fp32": 4.0}
    assert len(turns) == 100


def test_a_product_is_that_of_a_frozen_layer() -> None:
    layers = products._layers(list(SHAPES), torch.float32, CPU)
    assert [(m.in_features, m.out_features) for m in layers] == list(SHAPES)
    kinds = {type(m).__name__ for m in layers}
    assert kinds == ({"FrozenLinear"} if torch.backends.mkldnn.is_available() else {"Linear"})
    calls = products._products(SHAPES, torch.float32, CPU)
    assert [count for count, _ in calls] == [3, 1]
    assert products._seconds(calls, CPU) > 0


def test_large_products_stand_for_larger_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [products._capped(*widths) for widths in ((576, 49152), (4096, 4096), (4096, 11008), (2048, 128256))] == [
        (576, 49152),
        (4096, 4096),
        (4096, 4096),
        (2048, 4096),
    ]
    monkeypatch.setattr(products, "_LARGEST", 1000)
    monkeypatch.setattr(products, "_WIDEST", 16)
    assert [count for count, _ in products._products(SHAPES, torch.float32, CPU)] == [3 * 8, 8]


def test_shapes_are_the_models_with_its_output_layer(tiny_folder: Path) -> None:
    config = json.loads((tiny_folder / "config.json").read_text())
    hidden, inner, layers = (config[k] for k in ("hidden_size", "intermediate_size", "num_hidden_layers"))
    shapes = product_shapes(resolve_base(str(tiny_folder)))
    assert (shapes[hidden, inner], shapes[inner, hidden]) == (2 * layers, layers)
    assert shapes[hidden, config["vocab_size"]] == 1


def test_the_forecasts_rate_is_the_one_that_the_format_was_chosen_by(tiny_folder: Path) -> None:
    files, measured = resolve_base(str(tiny_folder)), rates(85, 160)
    assert product_flops(files, faster(measured), CPU, 2) == measured.fp32
    assert product_flops(files, faster(rates(300, 160)), CPU, 2) == 300e9


def test_what_a_forecast_rests_on_is_measured_once(tiny_folder: Path, cache: Path) -> None:
    files, named = resolve_base(str(tiny_folder)), Precision("fp32", "model.precision")
    flops, seconds = product_flops(files, named, CPU, 1), pass_seconds(files, named, CPU, 1)
    assert min(flops, seconds) > 0
    assert len(list(cache.iterdir())) == 2
    assert (product_flops(files, named, CPU, 1), pass_seconds(files, named, CPU, 1)) == (flops, seconds)


@pytest.mark.parametrize(("unit", "name", "tokens"), [(1, "bf16", 1024), (1, "fp32", 512), (0, "bf16", 512)])
def test_a_matrix_unit_gets_larger_micro_batches(
    unit: int, name: str, tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "has_matrix_unit", lambda: bool(unit))
    assert memory.micro_batch_tokens(SimpleNamespace(device=CPU, precision=name)) == tokens  # type: ignore[arg-type]


# --- what is kept -----------------------------------------------------------------------------------------------


def counting(flops: dict[str, float]) -> tuple[Callable[..., dict[str, float]], list[Shapes]]:
    calls: list[Shapes] = []

    def measure(shapes: Shapes, formats: Collection[str]) -> dict[str, float]:
        assert set(formats) == {"bf16", "fp32"}
        calls.append(shapes)
        return flops

    return measure, calls


def test_rates_are_measured_once_and_kept(cache: Path) -> None:
    measure, calls = counting({"bf16": 3e11, "fp32": 1e11})
    first = product_rates(SHAPES, 2, measure)
    assert (first.bf16, first.fp32, first.threads) == (3e11, 1e11, 2)
    assert product_rates(dict(reversed(SHAPES.items())), 2, measure) == first
    assert calls == [SHAPES]
    assert len(list(cache.iterdir())) == 1


def test_another_torch_processor_threads_or_shapes_are_measured_anew(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure, calls = counting({"bf16": 3e11, "fp32": 1e11})
    product_rates(SHAPES, 2, measure)
    product_rates(SHAPES, 1, measure)
    product_rates({(32, 64): 3}, 2, measure)
    assert len(calls) == 3
    with monkeypatch.context() as patch:
        patch.setattr(torch, "__version__", "9.9.9")
        product_rates(SHAPES, 2, measure)
    assert len(calls) == 4
    with monkeypatch.context() as patch:
        patch.setattr(products, "processor_name", lambda: "another")
        assert product_rates(SHAPES, 2, measure).processor == "another"
    assert len(calls) == len(list(cache.iterdir())) == 5


def test_a_damaged_cache_is_measured_and_written_again(cache: Path) -> None:
    measure, calls = counting({"bf16": 3e11, "fp32": 1e11})
    known = product_rates(SHAPES, 2, measure)
    (place,) = cache.iterdir()
    for damaged in ("", "{}", "[1]", '{"bf16": "fast"}'):
        place.write_text(damaged)
        assert product_rates(SHAPES, 2, measure) == known
    assert len(calls) == 5
    assert product_rates(SHAPES, 2, measure) == known
    assert len(calls) == 5
