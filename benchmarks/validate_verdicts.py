"""Verdicts: how often a rule is called exceeded or held when it is not, and how often a leak is found.

Rows of `validate.py`, from token scores through the functions that fill the tables `membership` and `rules`. Documents
of one to four records, their levels alike by document; tokens with noise of their own. What was never seen is moved by
the fine-tuning as any other record is.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import hypergeom, norm

from byrote.attacks import ATTACKS
from byrote.records import Assignment, Record, Role, TokenScores
from byrote.statistics.verdicts import count_bounds
from byrote.study import Study, load_study
from byrote.study.rules import rules_of
from byrote.tables.compared import ScoredStratum, compare_stratum, score_with, strata_of
from byrote.tables.membership import Settings, membership_row
from byrote.tables.resampled import Resampled
from byrote.tables.rules import Subject, verdict_rows
from byrote.tables.trials import Measured

MakeRow = Callable[..., Any]  # validate.Row: what, setting, measured, low, high
TOKENS, ICC, NOISE, ERROR, RESAMPLES = 12, 0.5, 0.5, 0.025, 400
DOCUMENTS = (60, 60, 180)  # of members, non-members and calibration records
SIDES = ((Role.MEMBER, "members", 1), (Role.NONMEMBER, "nonmembers", 0), (Role.CALIBRATION, "calibration", 0))
WORDS = np.array([f"word{i}" for i in range(200)])
PLANNED = {"trial": "t", "roles": "r", "null": None}


class Audited(NamedTuple):
    """What an audit has stored, and the records that it is of."""

    roles: list[Assignment]
    records: dict[str, Record]
    tuned: TokenScores
    base: TokenScores


def study_of(attacks: Sequence[str] = ("all",), primary: str = "ratio", **decide: Any) -> Study:
    """A study with these rules."""
    membership = {"attacks": list(attacks), "primary": primary}
    raw = {"corpus": {"source": "adverse_events"}, "membership": membership, "statistics": {"bootstrap": RESAMPLES}}
    return load_study({**raw, "decide": decide})


def audited(
    learned: float, generator: np.random.Generator, documents: Sequence[int] = DOCUMENTS, unlike: float = 0.0
) -> Audited:
    """learned: how much more the members' mean log-probability rises, in deviations of a record's rise · unlike: how
    much higher it was before, in deviations of a record's level."""
    side_G = np.repeat(np.arange(3), documents)
    of_N = np.repeat(np.arange(len(side_G)), generator.integers(1, 5, len(side_G)))
    side_N, ids = side_G[of_N], [f"r{i}" for i in range(len(of_N))]

    def levels() -> np.ndarray:
        shared, own = generator.normal(size=len(side_G))[of_N], generator.normal(size=len(of_N))
        return ICC**0.5 * shared + (1 - ICC) ** 0.5 * own

    base_N = -5 + levels() + unlike * (side_N == 0)
    rise_N = 0.5 + NOISE * (levels() + learned * (side_N == 0))
    texts = [" ".join(words) for words in generator.choice(WORDS, (len(of_N), TOKENS))]
    records = {
        name: Record(name, SIDES[side][1], f"d{document}", text)
        for name, side, document, text in zip(ids, side_N, of_N, texts, strict=True)
    }
    roles = [Assignment(name, SIDES[side][0], SIDES[side][2]) for name, side in zip(ids, side_N, strict=True)]
    rough_NT = generator.normal(scale=1.0, size=(len(of_N), TOKENS))
    rough_NT -= rough_NT.mean(axis=1, keepdims=True)
    change_NT = generator.normal(scale=0.3, size=(len(of_N), TOKENS))
    change_NT -= change_NT.mean(axis=1, keepdims=True)
    base_NT = base_N[:, None] + rough_NT
    base, tuned = (_scores(ids, lp, generator) for lp in (base_NT, base_NT + rise_N[:, None] + change_NT))
    return Audited(roles, records, tuned, base)


def subject_of(audit: Audited, study: Study) -> Subject:
    """The subject of an audit, as the tables have it, for the attacks that the study's rules read."""
    (stratum,) = strata_of(audit.roles)
    compared = compare_stratum(stratum, audit.roles, audit.records, audit.tuned, audit.base, None)
    attacks = {name: ATTACKS[name] for rule in rules_of(study) for name in rule.attacks}
    scores = score_with(compared, attacks)
    settings = Settings(study.statistics.level, RESAMPLES, 0, (), study.membership.primary)
    no_draws = Resampled(tuple(attacks), np.full((1, len(attacks)), np.nan), settings.level, 0)  # not looked at here
    rows = {
        ("records", name): {
            **(
                {"control": "none: no null trial", "auc_control": None}
                if attack.needs_base
                else membership_row(compared, scores[name], attack, settings, no_draws)
            ),
            **{"auc_blind": None, "blind_note": "none: not tried"},
        }
        for name, attack in attacks.items()
    }
    measured = Measured(PLANNED, audit.roles, audit.tuned, audit.base)
    return Subject(measured, "done", {"records": ScoredStratum(PLANNED, compared, scores)}, rows)


def verdicts(study: Study, subject: Subject, look: int = 1) -> dict[str, str]:
    """Rule → verdict, of rules that were fixed beforehand."""
    rules = rules_of(study)
    fixed = frozenset(rule.sha256 for rule in rules)
    return {row["rule"]: row["verdict"] for row in verdict_rows(rules, [subject], {}, study, look, fixed)}


def never_seen(simulations: int, seed: int, row: MakeRow) -> Iterator[Any]:
    """Limits at what members that were never seen have in truth: an AUC of 0.5, and as many true as false positives."""
    turns, generator = max(simulations // 5, 100), np.random.default_rng([seed, 1])
    strict = study_of(max_auc=0.5, max_tpr_at_fpr={0.1: 0.1, 0.01: 0.01})
    wide = {"AUC 0.7": study_of(max_auc=0.7), "TPR 40% at 10%": study_of(max_tpr_at_fpr={0.1: 0.4})}
    found, held = [], {limit: [] for limit in wide}
    for _ in range(turns):
        subject = subject_of(audited(0.0, generator), strict)
        found.append("exceeded" in verdicts(strict, subject).values())
        if len(found) <= turns // 2:
            for limit, study in wide.items():
                held[limit].append(set(verdicts(study, subject).values()) == {"held"})
    setting = f"{turns} audits of never-seen members, 15 attacks"
    room = 3 * (ERROR * (1 - ERROR) / turns) ** 0.5
    limits = "AUC 0.5, TPR 10% at 10%, 1% at 1%"
    yield row("any rule exceeded in error", f"{setting}, limits {limits}", np.mean(found), 0.0, ERROR + room)
    for limit, shares in held.items():  # scores of wbc and rmia tie at the top here: chance breaks such ties
        yield row("held", f"{setting}, limit {limit}", np.mean(shares), 0.8)


def leaks(simulations: int, seed: int, row: MakeRow) -> Iterator[Any]:
    """Power: the share of leaks that are found to break limits of AUC 0.6 and of a TPR of 20% at 10%."""
    turns, generator, area = max(simulations // 5, 100), np.random.default_rng([seed, 2]), 0.75
    study = study_of(max_auc=0.6, max_tpr_at_fpr={0.1: 0.2})
    found = [verdicts(study, subject_of(audited(lift_of(area), generator), study)) for _ in range(turns)]
    setting = f"{turns} audits with a leak: AUC {area:g} of the mean difference, limits AUC 0.6, TPR 20% at 10%"
    for name in ("max_auc", "max_tpr_at_fpr 0.1"):
        yield row(f"{name} exceeded", setting, np.mean([one[name] == "exceeded" for one in found]), 0.5)
    yield row("any rule held in error", setting, np.mean(["held" in one.values() for one in found]), 0.0, 0.0)


def at_the_limit(simulations: int, seed: int, row: MakeRow) -> Iterator[Any]:
    """One attack whose true AUC and TPR are the limits: either verdict is wrong half of the time at most its error."""
    turns, generator, area = max(simulations // 4, 100), np.random.default_rng([seed, 3]), 0.7
    tpr = float(norm.sf(norm.isf(0.1) - lift_of(area)))
    decide = {"max_auc": area, "max_tpr_at_fpr": {0.1: tpr}, "attack": "difference_mean"}
    study = study_of(["difference_mean"], "difference_mean", **decide)
    found = [verdicts(study, subject_of(audited(lift_of(area), generator), study)) for _ in range(turns)]
    room = 3 * (ERROR * (1 - ERROR) / turns) ** 0.5
    for name in ("max_auc", "max_tpr_at_fpr 0.1"):
        for verdict in ("exceeded", "held"):
            share = float(np.mean([one[name] == verdict for one in found]))
            setting = f"one attack, true AUC {area:g}, TPR {tpr:.0%} at 10%"
            yield row(f"{name} {verdict} at the limit itself", setting, share, 0.0, ERROR + room)


def looks(simulations: int, seed: int, row: MakeRow) -> Iterator[Any]:
    """Four looks at ever more documents, until a rule is exceeded: with the error spent over looks, and as if each were
    the first."""
    turns, generator = max(simulations // 10, 100), np.random.default_rng([seed, 4])
    decide = {"max_auc": 0.5, "max_tpr_at_fpr": {0.1: 0.1}}
    study, wrong = study_of(["loss", "difference_mean"], "difference_mean", **decide), {"spent": 0, "alone": 0}
    for _ in range(turns):
        audit = audited(0.0, generator)
        parts = [subject_of(_first_documents(audit, share), study) for share in (0.25, 0.5, 0.75, 1.0)]
        for kind in wrong:
            numbers = [look if kind == "spent" else 1 for look in (1, 2, 3, 4)]
            wrong[kind] += any(
                "exceeded" in verdicts(study, part, number).values()
                for part, number in zip(parts, numbers, strict=True)
            )
    setting, room = "two attacks, limits at the truth, 4 looks at growing samples", 3 * (0.05 * 0.95 / turns) ** 0.5
    yield row("any look exceeded in error", setting, wrong["spent"] / turns, 0.0, 2 * ERROR + room)
    yield row("(each look as if it were the first)", setting, wrong["alone"] / turns)


def unlike_sides(simulations: int, seed: int, row: MakeRow) -> Iterator[Any]:
    """Members that were never seen and differ from non-members before any fine-tuning: controls must stop a verdict."""
    turns, generator = max(simulations // 10, 100), np.random.default_rng([seed, 5])
    study = study_of(["loss", "zlib", "min_k"], "loss", max_auc=0.55)
    found = [verdicts(study, subject_of(audited(0.0, generator, unlike=1.2), study))["max_auc"] for _ in range(turns)]
    setting = "never-seen members, AUC 0.80 of the loss on the base model, limit AUC 0.55"
    yield row("exceeded in spite of controls", setting, found.count("exceeded") / turns, 0.0, 0.05)


def counts(_simulations: int, _seed: int, row: MakeRow) -> Iterator[Any]:
    """Exact, by summing the hypergeometric: the largest error of either bound of a count over all true counts."""
    bounds = cache(count_bounds)
    for population, sampled in ((300, 100), (1000, 100)):
        low, high = 0.0, 0.0
        drawn = np.array([bounds(population, sampled, hits, ERROR) for hits in range(sampled + 1)])
        for truth in range(0, population + 1, max(population // 50, 1)):
            chance = hypergeom.pmf(np.arange(sampled + 1), population, truth, sampled)
            low, high = max(low, chance[drawn[:, 0] > truth].sum()), max(high, chance[drawn[:, 1] < truth].sum())
        setting = f"{sampled} of {population} records, exact"
        yield row("count of records, either bound in error, most", setting, max(low, high), 0.0, ERROR)


CHECKS = (never_seen, leaks, at_the_limit, looks, unlike_sides, counts)

# --- samples ----------------------------------------------------------------------------------------------------


def lift_of(area: float) -> float:
    """What members have to have learned for this AUC of the mean difference."""
    return float(norm.ppf(area)) * 2**0.5


def _first_documents(audit: Audited, share: float) -> Audited:
    """The first documents of every side, this share of them."""
    by_side: dict[Role, list[str]] = {}
    for a in audit.roles:
        by_side.setdefault(a.role, []).append(audit.records[a.record].group)
    kept: set[str] = set()
    for groups in by_side.values():
        names = list(dict.fromkeys(groups))
        kept |= set(names[: round(share * len(names))])
    roles = [a for a in audit.roles if audit.records[a.record].group in kept]
    return audit._replace(roles=roles)


def _scores(ids: Sequence[str], logprob_NT: np.ndarray, generator: np.random.Generator) -> TokenScores:
    flat = np.minimum(logprob_NT, -0.01).astype(np.float32).ravel()
    means = (generator.normal(-5, 0.5, len(flat))).astype(np.float32)
    stds = generator.uniform(1, 2, len(flat)).astype(np.float32)
    top1 = generator.random(len(flat)) < 0.2
    return TokenScores(tuple(ids), np.arange(len(ids) + 1) * logprob_NT.shape[1], flat, top1, means, stds)
