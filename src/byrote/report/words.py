"""Numbers in words: one way to print each kind, and a dash where there is none."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MISSING = "–"
_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def missing(value: Any) -> bool:
    """Whether a cell of a table holds nothing: None, NaN or pandas' NA."""
    return value is None or value != value or str(value) == "<NA>"


def number(value: Any, digits: int = 2) -> str:
    """A number with so many decimals; a dash for a missing one."""
    return MISSING if missing(value) else f"{float(value):.{digits}f}".replace("-", "−")


def plain(value: Any) -> str:
    """A number in its shortest form, whole ones with thousands apart; a dash for a missing one."""
    if missing(value):
        return MISSING
    whole = float(value)
    return f"{whole:,.0f}".replace(",", "\u202f") if whole.is_integer() else f"{whole:.4g}".replace("-", "−")


def percent(value: Any, digits: int = 1) -> str:
    """A share as a percentage; small ones keep two significant digits."""
    if missing(value):
        return MISSING
    share = 100 * float(value)
    return f"{share:.2g}%" if 0 < abs(share) < 0.1 else f"{share:.{digits}f}%"


def rate(value: Any) -> str:
    """A rate that someone set, as a percentage without trailing zeros: `10%`, `0.1%`."""
    return MISSING if missing(value) else f"{100 * float(value):.3g}%"


def interval(low: Any, high: Any, digits: int = 2) -> str:
    """`0.79 to 0.81`; a dash where either end is missing."""
    return MISSING if missing(low) or missing(high) else f"{number(low, digits)} to {number(high, digits)}"


def with_ends(value: Any, low: Any, high: Any, digits: int = 3) -> str:
    """`0.712 (0.660 to 0.764)`; the value alone where it has no interval."""
    ends = interval(low, high, digits)
    return number(value, digits) if ends == MISSING else f"{number(value, digits)} ({ends})"


def rate_words(row: Mapping[str, Any]) -> str:
    """`7.5% (4.1% to 12.3%) at 1.0%`: a TPR with its interval at its false-positive rate; a dash where there is none.
    row: the columns target_fpr, tpr, tpr_low, tpr_high."""
    if missing(row["tpr"]):
        return MISSING
    low, high = row["tpr_low"], row["tpr_high"]
    ends = "" if missing(low) or missing(high) else f" ({percent(low)} to {percent(high)})"
    return f"{percent(row['tpr'])}{ends} at {percent(row['target_fpr'])}"


def spread(values: Iterable[Any], digits: int = 2) -> str:
    """`0.65 to 0.82`, lowest to highest of the numbers there are; one number where they print alike."""
    known = [float(value) for value in values if not missing(value)]
    if not known:
        return MISSING
    low, high = number(min(known), digits), number(max(known), digits)
    return low if low == high else f"{low} to {high}"


def draws(value: Any) -> str:
    """A number of draws: whole up to a million, a power of ten beyond; past every float, `beyond 10³⁰⁰`."""
    if missing(value):
        return MISSING
    if math.isinf(float(value)):
        return "beyond 10³⁰⁰"
    if float(value) < 1e6:
        return plain(round(float(value)))
    return f"10{str(math.floor(math.log10(float(value)))).translate(_RAISED)}"


def at_level(level: float) -> str:
    """`95% interval`, at the study's statistics.level."""
    return f"{rate(level)} interval"


def with_interval(value: Any, low: Any, high: Any, level: float, digits: int = 2) -> str:
    """`0.80 (95% interval 0.79 to 0.81)`, or the number alone, saying that it has no interval."""
    if missing(low) or missing(high):
        return f"{number(value, digits)} (no interval)"
    return f"{number(value, digits)} ({at_level(level)} {interval(low, high, digits)})"


def count(amount: int, singular: str, plural: str | None = None) -> str:
    """`1 trial`, `3 trials`, `no trials`."""
    plural = plural or f"{singular}s"
    return f"no {plural}" if amount == 0 else f"{plain(amount)} {singular if amount == 1 else plural}"


def listing(words: Sequence[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def duration(seconds: Any) -> str:
    """Seconds as `42 s`, `5 min 10 s` or `2 h 5 min`."""
    if missing(seconds) or math.isinf(float(seconds)):
        return MISSING
    whole = round(float(seconds))
    if whole < 60:
        return f"{float(seconds):.1f} s" if float(seconds) < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def memory(value: Any) -> str:
    """Bytes as GiB or MiB."""
    if missing(value):
        return MISSING
    return f"{value / 2**30:.1f} GiB" if value >= 2**30 else f"{value / 2**20:.0f} MiB"


def p_value(value: Any) -> str:
    """A p-value with three decimals, or `< 0.001`."""
    if missing(value):
        return MISSING
    return "< 0.001" if value < 0.001 else number(value, 3)
