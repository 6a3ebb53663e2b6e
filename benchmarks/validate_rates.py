"""Error rates of what stands beside an attack's AUC: rates at low false-positive rates, seeds, families of claims.

Rows of `validate.py`, each through the function that fills the table which the report prints. Axes: S seeds.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
from plan_rows import plan_row
from scipy.special import expit
from scipy.stats import norm

from byrote.attacks import ATTACKS, Evidence
from byrote.records import Assignment, Record, Role, TokenScores
from byrote.statistics.delong import clustered
from byrote.statistics.intervals import clopper_pearson
from byrote.statistics.roc import rate_at, threshold_at_most
from byrote.statistics.seeds import over_seeds
from byrote.study.hypotheses import Named
from byrote.study.settings import Claims, Hypothesis
from byrote.tables.canaries import AuditSettings, audit_rows, bounds_of
from byrote.tables.compared import Compared, Scored, ScoredStratum, Stratum
from byrote.tables.configurations import configuration_rows, label_of
from byrote.tables.hypotheses import hypothesis_rows
from byrote.tables.membership import Settings, operating_rows

MakeRow = Callable[..., Any]  # validate.Row: what, setting, measured, low, high
AREAS, LEVEL, MARGIN = (0.5, 0.6, 0.8, 0.93), 0.95, 0.02
CELLS = ((961, 2898, (0.1, 0.01)), (480, 2898, (0.1, 0.01)), (120, 120, (0.1,)))
MORE_DOCUMENTS = 0.383  # chance that a record begins a document: PHEE has 2.6 records a document
NOTHING = TokenScores((), np.zeros(1, np.int64), *(np.zeros(0, kind) for kind in ("f4", "?", "f4", "f4")))
EMPTY = Evidence(NOTHING, NOTHING, ())


class Side(NamedTuple):
    """Scores of one side and the document of each."""

    scores: np.ndarray
    groups: tuple[str, ...]


def side(records: int, name: str, icc: float | None, generator: np.random.Generator) -> Side:
    """Normal scores of unit variance; records independent, or in documents with the intraclass correlation icc."""
    if icc is None:
        return Side(generator.normal(size=records), tuple(f"{name}{i}" for i in range(records)))
    document = np.cumsum(generator.random(records) < MORE_DOCUMENTS)
    effect, own = generator.normal(size=document[-1] + 1), generator.normal(size=records)
    scores = icc**0.5 * effect[document] + (1 - icc) ** 0.5 * own
    return Side(scores, tuple(f"{name}{d}" for d in document))


def compared_of(members: Side, nonmembers: Side, calibration: Side) -> Compared:
    """A stratum whose scores come from elsewhere."""
    ids = tuple(
        tuple(f"{name}{i}" for i in range(len(part.groups))) for name, part in (("m", members), ("n", nonmembers))
    )
    stratum = Stratum("records", 1, ids[0], ids[1], ())
    groups = members.groups, nonmembers.groups
    return Compared(stratum, (EMPTY, EMPTY, EMPTY), groups, None, calibration.groups)


def low_rates(simulations: int, seed: int, row: MakeRow) -> Iterator[Any]:
    """Coverage of the TPR at the score whose population FPR is the target, of the realised FPR, and of the interval
    that takes the threshold as given and records as independent (Clopper–Pearson)."""
    turns = max(simulations // 4, 100)
    for calibration, members, rates in CELLS:
        for icc in (None, 0.5):
            coverage = _held(
                calibration, members, rates, icc, turns, np.random.default_rng([seed, calibration, members])
            )
            kind = "independent" if icc is None else f"documents, ICC {icc}"
            for (area, rate, what), share in coverage.items():
                if what == "realised FPR" and area != AREAS[0]:
                    continue  # the members have no say in it
                setting = f"AUC {area}, {calibration} calibration, {members} members, {rate:.0%}, {kind}"
                yield row(what, setting, share, *_required(what, turns, 0.985 if members == 120 else 0.97))


def _held(
    calibration: int,
    members: int,
    rates: tuple[float, ...],
    icc: float | None,
    turns: int,
    generator: np.random.Generator,
) -> dict[tuple[float, float, str], float]:
    """How often each interval held the truth, by area, rate and kind; the same noise serves every area."""
    settings = Settings(LEVEL, 1, 0, rates, "loss")
    coverage: dict[tuple[float, float, str], float] = {}
    for _ in range(turns):
        draw = partial(side, icc=icc, generator=generator)
        ours, theirs, others = draw(members, "m"), draw(300, "n"), draw(calibration, "c")
        compared = compared_of(ours, theirs, others)
        for area in AREAS:
            lift = float(norm.ppf(area)) * 2**0.5
            scored = Scored("loss", ours.scores + lift, theirs.scores, others.scores)
            for row in operating_rows(compared, scored, settings):
                if row["threshold_source"] == "calibration":
                    for what, holds in _truths(row, scored, lift).items():
                        key = (area, row["target_fpr"], what)
                        coverage[key] = coverage.get(key, 0.0) + holds / turns
    return coverage


def _truths(row: dict, scored: Scored, lift: float) -> dict[str, bool]:
    rate = row["target_fpr"]
    tpr, fpr = float(norm.sf(norm.isf(rate) - lift)), float(norm.sf(row["threshold"]))
    before = clopper_pearson(*rate_at(scored.members, threshold_at_most(scored.calibration, rate)), LEVEL)
    return {
        "TPR": row["tpr_low"] <= tpr <= row["tpr_high"],
        "TPR, threshold as given (Clopper–Pearson)": before[0] <= tpr <= before[1],
        "realised FPR": row["realised_fpr_low"] <= fpr <= row["realised_fpr_high"],
    }


def _required(what: str, turns: int, high: float) -> tuple[float, float]:
    """TPR: 93% to `high`; realised FPR: at least 93%, for its interval is exact and so too wide where few are called;
    three standard errors of the simulation more. What was done before is only reported."""
    room = 3 * (0.95 * 0.05 / turns) ** 0.5
    if what == "TPR":
        return 0.93 - room, min(high + room, 0.9999)
    return (0.93 - room, 1.0) if what == "realised FPR" else (0.0, 1.0)


def seeds_near_one(simulations: int, seed: int, row: MakeRow) -> Iterator[Any]:
    """The interval over seeds where the plain one would pass 1: coverage, and how often an end lies outside."""
    generator, spread, lift, seeds = np.random.default_rng(seed), 0.35, 2.9, 5
    truth, covered, outside = float(norm.cdf(lift / (2 + spread**2) ** 0.5)), 0, 0
    for _ in range(simulations):
        ours, theirs = (generator.normal(size=(1, n)) + 0.5 * generator.normal(size=(seeds, n)) for n in (60, 60))
        ours, theirs = ours / 1.25**0.5 + lift + spread * generator.normal(size=(seeds, 1)), theirs / 1.25**0.5
        mean = over_seeds(*clustered(ours, theirs, range(60), range(60, 120)))
        covered += mean.low <= truth <= mean.high
        outside += not 0 <= mean.low <= mean.high <= 1
    setting = f"5 seeds, mean AUC {truth:.3f}, 60 and 60 records"
    room = 3 * (0.95 * 0.05 / simulations) ** 0.5
    yield row("mean over seeds, near 1", setting, covered / simulations, 0.93 - room, 0.9999)
    yield row("mean over seeds, an end outside [0, 1]", setting, outside / simulations, 0.0, 0.0)


def families_of_claims(simulations: int, seed: int, row: MakeRow) -> Iterator[Any]:
    """Four configurations whose true AUCs differ by just the margin or not at all: any wrong verdict of the six."""
    generator, turns, lifts = np.random.default_rng(seed), max(simulations // 4, 100), (1.0, 1.0, None, None)
    base = norm.cdf(1 / 2**0.5)
    raised = float(norm.ppf(base + MARGIN)) * 2**0.5
    wrong = {"together": 0, "alone": 0}
    for _ in range(turns):
        trials = _trials([raised if lift is None else lift for lift in lifts], generator)
        wrong["together"] += _any_wrong(trials, lifts, LEVEL)
        wrong["alone"] += _any_wrong(trials, lifts, 1 - 6 * (1 - LEVEL))
    setting = "6 pairs of 4 configurations, 5 seeds, true differences 0 or the margin"
    room = 3 * (0.05 * 0.95 / turns) ** 0.5
    yield row("claims, any in error", setting, wrong["together"] / turns, 0.0, 0.05 + room)
    yield row("claims, any in error, each at 95% alone", setting, wrong["alone"] / turns)


def families_of_hypotheses(simulations: int, seed: int, row: MakeRow) -> Iterator[Any]:
    """Four stated hypotheses about such configurations, most of them true or false by just the margin: any wrong
    verdict, and any interval of a printed difference without the true one."""
    generator, turns = np.random.default_rng(seed), max(simulations // 4, 100)
    raised = float(norm.ppf(norm.cdf(1 / 2**0.5) + MARGIN)) * 2**0.5
    stated = (
        (_stated("above-by-the-margin", "above", (2, 3), (0, 1)), {"supported", "contradicted"}, MARGIN),
        (_stated("same-but-for-the-margin", "same", (2,), (0,)), {"supported", "contradicted"}, MARGIN),
        (_stated("same", "same", (0,), (1,)), {"contradicted"}, 0.0),
        (_stated("above", "above", (0,), (1,)), {"supported"}, 0.0),
    )
    claims = Claims(margin=MARGIN, hypotheses=tuple(named.hypothesis for named, *_ in stated))
    wrong = missed = 0
    for _ in range(turns):
        trials = _trials([1.0, 1.0, raised, raised], generator)
        rows = list(hypothesis_rows([named for named, *_ in stated], trials, "loss", claims, LEVEL))
        judged = list(zip(rows, stated, strict=True))
        wrong += any(said["verdict"] in wrong_verdicts for said, (_, wrong_verdicts, _) in judged)
        missed += any(not said["difference_low"] <= true <= said["difference_high"] for said, (*_, true) in judged)
    setting, most = "4 hypotheses on 4 configurations, 5 seeds, true differences 0 or the margin", 0.05
    most += 3 * (0.05 * 0.95 / turns) ** 0.5
    yield row("hypotheses, any in error", setting, wrong / turns, 0.0, most)
    yield row("hypotheses, any interval without the true difference", setting, missed / turns, 0.0, most)


def _stated(name: str, rule: Literal["above", "same"], of: tuple[int, ...], against: tuple[int, ...]) -> Named:
    """A hypothesis about ranks."""
    points = [tuple({"lora.rank": rank} for rank in side) for side in (of, against)]
    labels = [tuple(label_of(plan_row("", {}, rank)) for rank in side) for side in (of, against)]
    return Named(Hypothesis(name=name, says=name, rule=rule, of=points[0], against=points[1]), labels[0], labels[1])


def _trials(lifts: Sequence[float], generator: np.random.Generator) -> list[ScoredStratum]:
    """Five seeds of each configuration, all on the same records."""
    noise = generator.normal(size=200)
    return [_scored_stratum(rank, s, lift, noise, generator) for rank, lift in enumerate(lifts) for s in range(5)]


def _scored_stratum(
    rank: int, seed: int, lift: float, noise: np.ndarray, generator: np.random.Generator
) -> ScoredStratum:
    """A trial whose records' noise is mostly that of every other trial; its seed shifts nothing."""
    scores = 0.98**0.5 * noise + 0.02**0.5 * generator.normal(size=len(noise))
    half = len(noise) // 2
    sides = [Side(part, tuple(f"{name}{i}" for i in range(half))) for name, part in (("m", scores), ("n", scores))]
    settings = {"lora": {"rank": rank}, "training": {"seed": seed}, "canaries": {"design": "none", "seed": 0}}
    planned = plan_row(f"{rank}-{seed}", settings, rank, seed)
    scored = Scored("loss", scores[:half] + lift, scores[half:], np.empty(0))
    return ScoredStratum(planned, compared_of(sides[0], sides[1], Side(np.empty(0), ())), {"loss": scored})


def _any_wrong(trials: list[ScoredStratum], lifts: tuple[float | None, ...], level: float) -> bool:
    """Equal configurations may not be called more or less; those apart by the margin not so, nor equivalent."""
    rows = [row for row in configuration_rows(trials, "loss", MARGIN, level) if row["against"]]
    ranks = [(a, b) for a in range(len(lifts)) for b in range(a + 1, len(lifts))]
    equal = [lifts[a] == lifts[b] for a, b in ranks]
    allowed = [{"equivalent", "undecided"} if same else {"undecided"} for same in equal]
    return any(row["verdict"] not in verdicts for row, verdicts in zip(rows, allowed, strict=True))


def families_of_bounds(simulations: int, seed: int, row: MakeRow) -> Iterator[Any]:
    """Canaries of randomized response in three trials and four numbers of copies: any of twelve bounds above ε.

    Half of the canaries are guessed, those whose answer is plain, so each guess is right with chance e^ε/(1 + e^ε).
    """
    generator, turns = np.random.default_rng(seed), max(simulations // 4, 100)
    for epsilon in (0.0, 1.0):
        wrong = [_bounds_above(epsilon, generator) for _ in range(turns)]
        setting = f"ε = {epsilon:g}, 3 trials of 4 × {CANARIES} canaries, {CANARIES // 2} guesses"
        together, alone = np.mean(wrong, axis=0)
        yield row("ε, any of 12 bounds too high", setting, together, 0.0, 0.05 + 3 * (0.05 * 0.95 / turns) ** 0.5)
        yield row("ε, any of 12 bounds too high, each at 95% alone", setting, alone)


CANARIES, COPIES = 200, (1, 2, 8, 32)


def _bounds_above(epsilon: float, generator: np.random.Generator) -> tuple[bool, bool]:
    """Whether any bound of a run lies above ε: as a family, and with each bound judged alone."""
    runs = [_answers(epsilon, generator) for _ in range(3)]
    family = sum(bounds_of(roles, 0.5) for roles, _ in runs)
    above = []
    for size in (family, 1):
        settings = AuditSettings(CANARIES // 2, 0.0, 1 - LEVEL, "loss", 0, size)
        rows = [r for roles, scores in runs for r in audit_rows(roles, RECORDS, scores, scores, LOSS, settings)]
        above.append(any(row["epsilon_low"] > epsilon for row in rows))
    return above[0], above[1]


IDS = tuple(f"c{copies}-{i}" for copies in COPIES for i in range(CANARIES))
RECORDS = {name: Record(name, "members", name, "a text") for name in IDS}
LOSS = ATTACKS["loss"]


def _answers(epsilon: float, generator: np.random.Generator) -> tuple[list[Assignment], TokenScores]:
    """Coins, and one token a canary whose log-probability is the coin's answer under randomized response."""
    is_in = generator.random(len(IDS)) < 0.5
    answer = is_in ^ (generator.random(len(IDS)) >= expit(epsilon))
    copies = np.repeat(COPIES, CANARIES)
    sides = (Role.CANARY_IN if planted else Role.CANARY_OUT for planted in is_in)
    roles = [Assignment(name, role, int(c)) for name, role, c in zip(IDS, sides, copies, strict=True)]
    logprob = (answer + generator.random(len(IDS)) / 2 - 9).astype(np.float32)
    ones = np.ones(len(IDS), np.float32)
    return roles, TokenScores(IDS, np.arange(len(IDS) + 1), logprob, ones > 2, -ones, ones)


CHECKS = (low_rates, seeds_near_one, families_of_claims, families_of_hypotheses, families_of_bounds)
