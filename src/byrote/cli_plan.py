"""The verb that says what a study will take and what it can show."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.table import Table

from byrote.cli_print import Json, Options, listener_of, out_console, power_table, print_json
from byrote.errors import StudyError
from byrote.study.load import load_study, parse_overrides
from byrote.terminal import duration

if TYPE_CHECKING:
    from byrote.running.cuts import Cut
    from byrote.running.forecast import Forecast

LONG = 24.0
"""Hours from which a plan says how a study is cut."""


def plan(
    study: str,
    /,
    *options: Options,
    hours: float | None = None,
    price: float | None = None,
    measure: Annotated[bool, Parameter(negative="--no-measure")] = True,
    show_tokens: Annotated[bool, Parameter(negative="")] = False,
    as_json: Json = False,
) -> None:
    """The trials of a study, time, memory, disk and money to expect, and the smallest effect it can show.

    A few steps of a throw-away adapter are timed here; nothing is written into a run folder. Every setting of a study
    is an option, as for `byrote run`.

    Parameters
    ----------
    hours
        How long the study may take. Where it takes longer, the settings that cut it down: fewer seeds first, then
        fewer points of the last axis, then fewer records.
    price
        What an hour of this machine costs, in any currency.
    measure
        Time the steps; `--no-measure` estimates from two rates of this machine, and loads no model.
    show_tokens
        Show the first record as the model sees it, and which of its tokens the loss is on, in place of the plan.
    """
    _check("hours", hours)
    _check("price", price)
    resolved, listener = load_study(study, parse_overrides(options)), listener_of()
    listener.say("checking the study and reading its records")
    from byrote.running.checks import check_study

    checked = check_study(resolved)
    listener.say("loading torch")
    from byrote.running.cuts import cut_that_fits
    from byrote.running.forecast import forecast, measured_rates
    from byrote.running.layout import layout
    from byrote.running.planning import prepare
    from byrote.running.shown import print_tokens
    from byrote.running.timing import timed

    prepared = prepare(checked, listener)
    if show_tokens:
        print_tokens(out_console, prepared.records[0], prepared.tokenizer)
        return
    threads = layout(prepared)[1]
    if measure:
        speed = timed(prepared, threads, listener)
    else:
        listener.say(f"measuring matrix products in {prepared.precision}")
        speed = measured_rates(prepared, threads)
    expected = forecast(prepared, lambda _prepared, _threads: speed)
    cut, too_long = None, hours is not None and expected.seconds > hours * 3600
    if hours is not None and too_long:
        listener.say(f"looking for a cut of the study that fits into {hours:g} hours")
        cut = cut_that_fits(prepared, speed, hours)
    if as_json:
        money = {} if price is None else {"price": price, "money": _money(expected, price)}
        fits = {} if hours is None else {"hours": hours, "fits": not too_long, "cut": asdict(cut) if cut else None}
        print_json({**asdict(expected), **money, **fits})
        return
    _print(expected, price)
    if prepared.study.machine.backend == "ray":
        from byrote.running.ray_cluster import need_of

        _say(f"by Ray: each worker asks a node for {need_of(prepared)}")
    if hours is not None:
        _print_hours(hours, too_long, cut)
    elif expected.seconds > LONG * 3600:
        _say("this takes longer than a day: --hours 8 names the settings that cut it down to what fits into 8 hours")


def _check(name: str, value: float | None) -> None:
    if value is not None and not 0 < value < float("inf"):
        raise StudyError(f"--{name} is {value:g}; give a number above 0, or leave it out")


def _money(expected: "Forecast", price: float) -> float:
    return expected.seconds / 3600 * price


def _print(expected: "Forecast", price: float | None) -> None:
    from byrote.running.forecast import CORRELATION, ICC
    from byrote.running.layout import in_words

    table = Table("trial", "records", "tokens", "steps", "time", box=None)
    for work in expected.work:
        row = (f"{work.training_records}", f"{work.tokens:,}", f"{work.steps}", duration(work.seconds))
        table.add_row(work.label, *row)
    out_console.print(table)
    money = "" if price is None else f", {_money(expected, price):,.2f} at {price:g} an hour"
    _say(
        f"in all about {duration(expected.seconds)}, "
        f"{in_words(expected.workers, expected.threads)}, {expected.memory / 2**30:.1f} GiB of memory, "
        f"{expected.disk / 2**20:.0f} MiB of disk{money}"
    )
    tokens = expected.tokens
    _say(f"tokens: {tokens.trained:,.0f} trained on, {tokens.read:,.0f} scored or read, {tokens.written:,.0f} written")
    if expected.timed:
        _say("times follow from a few steps that were timed here")
    else:
        _say("times are an estimate from two rates of this machine; without --no-measure a few steps are timed")
    rate = "" if expected.precision.rates else f", products at {expected.flops / 1e9:.0f} GFLOP/s"
    _say(f"precision {expected.precision}{rate}")
    out_console.print(power_table(expected.power))
    _say(
        f"detectable at level 5% with power 80%; by document: where records of one document correlate at {ICC:g}; "
        f"difference: between two trials near AUC 0.7 whose scores correlate at {CORRELATION:g}; none: too few "
        "non-members for so low a false-positive rate"
    )


def _print_hours(hours: float, too_long: bool, cut: "Cut | None") -> None:
    from byrote.running.cuts import LEAST_POINTS, LEAST_SEEDS

    if not too_long:
        _say(f"this fits into {hours:g} hours")
    elif cut is None:
        _say(
            f"no cut fits into {hours:g} hours: not even one of {LEAST_SEEDS} seeds where configurations are compared, "
            f"{LEAST_POINTS} points of the last axis, and few records; give more hours, a smaller model, or take axes "
            "out of the grid"
        )
    else:
        trials = f"{cut.trials} trial{'s' if cut.trials > 1 else ''}"
        _say(f"longer than {hours:g} hours; this cut fits: {trials}, about {duration(cut.seconds)}")
        _say(f"  {cut.options}")
        _say("it can then show:")
        out_console.print(power_table(cut.power))


def _say(line: str) -> None:
    out_console.print(line, markup=False, highlight=False)
