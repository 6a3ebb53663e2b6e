"""What the study stated beforehand, and the verdicts."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from byrote.report.page import Grid, records_of, stratum_words, text_or_dash, without_empty
from byrote.report.words import at_level, count, interval, missing, number, p_value, plain

if TYPE_CHECKING:
    from byrote.tables import Tables

_RULES = {
    "above": "every difference above the margin",
    "same": "every difference inside the margin",
    "levels_off": "the last above the first by the margin, and inside it with the last but one",
}


def hypothesis_lists(tables: "Tables") -> list[tuple[str, list[str]]]:
    """Each hypothesis with its verdict and the comparison on which that rests, under how they were judged."""
    rows = records_of(tables.hypotheses)
    if not rows:
        return []
    margin, error = f"{rows[0]['margin']:g}", f"{100 * (1 - tables.level) / 2:.3g}%"
    head = (
        f"Before the results the study stated {count(len(rows), 'hypothesis', 'hypotheses')}, judged with the seed as "
        f"unit, a margin of {margin} AUC and an error of {error} each way for all of them together (Holm)."
    )
    return [(head, [_sentence(row) for row in rows])]


def _sentence(row: Mapping[str, Any]) -> str:
    parts = [f"“{row['says']}”: {row['verdict']}"]
    if not missing(row["difference"]):
        span = interval(row["difference_low"], row["difference_high"], 3)
        what = "largest" if row["rule"] == "same" else "smallest" if row["rule"] == "above" else "deciding"
        pair = f"{row['label']} minus {row['against']}"
        parts.append(f"the {what} difference, {pair}, is {number(row['difference'], 3)} ({span})")
    if row["reason"]:
        parts.append(row["reason"])
    if row["levels_off_from"]:
        parts.append(f"within the margin of the last from {row['levels_off_from']} on")
    if row["verdict"] == "undecided" and not missing(row["difference"]):
        seeds = row["seeds_to_decide"]
        more = "no number of seeds would decide it" if missing(seeds) else f"{plain(seeds)} seeds would decide it"
        parts.append(f"{more}, were spread and difference as they are now")
    if row["published"]:
        parts.append(f"published: {row['published']}")
    return f"{'; '.join(parts)}."


def hypotheses_grid(tables: "Tables") -> Grid:
    """Every hypothesis with its rule, its two p and what would decide it."""
    body = [
        [
            *(row["name"], row["verdict"], row["attack"], stratum_words(row["stratum"]), _RULES[row["rule"]]),
            *(text_or_dash(row["label"]), text_or_dash(row["against"]), plain(row["seeds"])),
            *(number(row["difference"], 3), interval(row["difference_low"], row["difference_high"], 3)),
            *(p_value(row["p_support"]), p_value(row["p_contradict"]), plain(row["seeds_to_decide"])),
            *(text_or_dash(row["levels_off_from"]), text_or_dash(row["published"]), text_or_dash(row["reason"])),
        ]
        for row in records_of(tables.hypotheses)
    ]
    headers = ["hypothesis", "verdict", "attack", "stratum", "rule", "rests on", "against", "seeds", "difference"]
    headers += [at_level(tables.level), "p, supports", "p, contradicts", "seeds to decide", "levels off from"]
    headers += ["published", "why"]
    note = (
        "Supported: all that the rule asks for holds at the error; contradicted: something that it excludes does. Both "
        "p are Holm's over all hypotheses. The interval is widened to hold together with those of the others."
    )
    grid = Grid("Hypotheses that the study stated before the results", headers, body, 7, note, tail=3)
    return without_empty(grid, "levels off from", "published", "why")
