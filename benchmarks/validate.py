"""Do the statistics keep their promises? Coverage and error rates in simulations whose truth is known.

    make validate                 # about a minute on one core; --simulations, --seed

Prints a table and ends with status 1 where a row is out of its range. Intervals are 95%, tests at 5%. A range leaves
room for the noise of so many simulations: 93 to 97% for a coverage (2.5 standard errors where those are wider), three
standard errors above an upper limit. An interval that could not be given counts as one that missed. Where a method is
used against its assumptions its row has no range, and says how far it is from 95%.
"""

import argparse
import sys
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import NamedTuple

import numpy as np
import validate_attacks
import validate_rates
import validate_stopping
import validate_verdicts
from scipy.special import expit
from scipy.stats import binom, norm
from validate_controls import null_controls

from byrote.statistics.bootstrap import auc_interval
from byrote.statistics.delong import clustered, delong, interval
from byrote.statistics.gaussian_one_run import epsilon_of, gaussian_epsilon
from byrote.statistics.intervals import clopper_pearson, hanley_mcneil
from byrote.statistics.one_run import epsilon_lower_bound, guess, guesses_of
from byrote.statistics.paired import compare, holm
from byrote.statistics.roc import auc, threshold_at_most
from byrote.statistics.seeds import claim, over_seeds

RESAMPLES = 500
MARGIN = 0.02


class Row(NamedTuple):
    """A measured share and the range it must lie in; no range where it is only reported."""

    what: str
    setting: str
    measured: float
    low: float = 0.0
    high: float = 1.0

    @property
    def holds(self) -> bool:
        return self.low <= self.measured <= self.high

    def __str__(self) -> str:
        if (self.low, self.high) == (0, 1):
            away = f"; {100 * (self.measured - 0.95):+.1f} points from 95%" if self.measured > 0.5 else ""
            required, holds = f"none{away}", "–"
        else:
            required = f"{self.low:.1%} to {self.high:.1%}" if self.high > 0.2 else f"at most {self.high:.2%}"
            holds = "yes" if self.holds else "NO"
        measured = f"{self.measured:.1%}" if self.high > 0.2 else f"{self.measured:.2%}"
        return f"| {self.what} | {self.setting} | {measured} | {required} | {holds} |"


class Sample(NamedTuple):
    """Scores and documents of members (P,) and non-members (Q,)."""

    members: np.ndarray
    nonmembers: np.ndarray
    member_groups: np.ndarray
    nonmember_groups: np.ndarray


def covering(what: str, setting: str, share: float, simulations: int) -> Row:
    """A coverage that must be 95%, two percent or 2.5 standard errors either way."""
    room = max(0.02, 2.5 * (0.95 * 0.05 / simulations) ** 0.5)
    return Row(what, setting, share, 0.95 - room, min(0.95 + room, 0.9999))


def at_most(what: str, setting: str, share: float, limit: float, error: float) -> Row:
    """A share with an upper limit, and three of its standard errors above that."""
    return Row(what, setting, share, 0.0, limit + 3 * error)


def by_hanley(sample: Sample, _seed: int) -> tuple[float, float]:
    return hanley_mcneil(auc(sample.members, sample.nonmembers), len(sample.members), len(sample.nonmembers))


def by_delong(sample: Sample, _seed: int) -> tuple[float, float]:
    areas_K, covariance_KK = delong(sample.members[None], sample.nonmembers[None])
    return interval(areas_K[0], covariance_KK[0, 0])


def by_obuchowski(sample: Sample, _seed: int) -> tuple[float, float]:
    areas_K, covariance_KK = clustered(sample.members[None], sample.nonmembers[None], *sample[2:])
    return interval(areas_K[0], covariance_KK[0, 0])


def by_documents(sample: Sample, seed: int) -> tuple[float, float]:
    return auc_interval(*sample, seed=seed, resamples=RESAMPLES)


METHODS = {
    "Hanley–McNeil": by_hanley,
    "DeLong": by_delong,
    "Obuchowski": by_obuchowski,
    "document bootstrap": by_documents,
}


def independent(area: float, members: int, nonmembers: int, generator: np.random.Generator) -> Sample:
    """Binormal scores of unit variance, every record a document of its own."""
    shift = norm.ppf(area) * 2**0.5
    scores = generator.normal(size=members + nonmembers)
    names = np.arange(members + nonmembers)
    return Sample(scores[:members] + shift, scores[members:], names[:members], names[members:])


def documents(
    area: float, icc: float, members: int, nonmembers: int, shared: bool, generator: np.random.Generator
) -> Sample:
    """Documents of 1 to 4 records with an effect of their own, icc of the unit variance; so many of members and others.

    shared: members and non-members come from the same documents. (Pairs within a document are then a little further
    apart than the area says; they are under 1% of the pairs, and move it by under 0.001.)
    """
    shift = norm.ppf(area) * 2**0.5
    ours = np.repeat(np.arange(members), generator.integers(1, 5, members))
    theirs = np.repeat(np.arange(nonmembers), generator.integers(1, 5, nonmembers)) + (0 if shared else members)
    effects = generator.normal(scale=icc**0.5, size=members + nonmembers)
    noise = partial(generator.normal, scale=(1 - icc) ** 0.5)
    return Sample(
        effects[ours] + noise(size=len(ours)) + shift, effects[theirs] + noise(size=len(theirs)), ours, theirs
    )


def coverage(
    draw: Callable[[np.random.Generator], Sample], area: float, methods: list[str], simulations: int, seed: int
) -> dict[str, float]:
    """The share of simulations in which each method's interval holds the true area."""
    generator, covered = np.random.default_rng(seed), dict.fromkeys(methods, 0)
    for turn in range(simulations):
        sample = draw(generator)
        for name in methods:
            low, high = METHODS[name](sample, seed + turn)
            covered[name] += low <= area <= high
    return {name: count / simulations for name, count in covered.items()}


def independent_records(simulations: int, seed: int) -> Iterator[Row]:
    """Hanley & McNeil's model of the scores fits sides of one size; members in excess make it too narrow."""
    for area, members, nonmembers in ((0.5, 100, 100), (0.7, 200, 200), (0.9, 200, 200), (0.8, 600, 200)):
        draw = partial(independent, area, members, nonmembers)
        setting = f"AUC {area}, {members} and {nonmembers} independent records"
        for name, share in coverage(draw, area, list(METHODS), simulations, seed).items():
            only_reported = name == "Hanley–McNeil" and members != nonmembers
            yield Row(name, setting, share) if only_reported else covering(name, setting, share, simulations)


def clustered_records(simulations: int, seed: int) -> Iterator[Row]:
    """Where documents matter, the intervals for independent records are only reported."""
    for area, icc, members, nonmembers, shared in (
        (0.7, 0.3, 300, 100, False),
        (0.7, 0.6, 300, 100, False),
        (0.85, 0.6, 200, 200, False),
        (0.7, 0.6, 200, 200, True),
    ):
        draw = partial(documents, area, icc, members, nonmembers, shared)
        kind = f"{members} documents of both" if shared else f"{members} and {nonmembers} documents"
        setting = f"AUC {area}, {kind}, 1–4 records each, ICC {icc}"
        for name, share in coverage(draw, area, list(METHODS), simulations, seed).items():
            robust = name in ("Obuchowski", "document bootstrap")
            yield covering(name, setting, share, simulations) if robust else Row(name, setting, share)


def thresholds(simulations: int, seed: int) -> Iterator[Row]:
    """The rate at which fresh non-members pass a threshold set on n others, its mean.

    The threshold lies on the k-th highest of them, k = ⌊rate·n⌋, and a fresh score falls on or above that with chance
    k/(n + 1): a little less than nominal, and that is the limit here.
    """
    generator = np.random.default_rng(seed)
    for nonmembers, rate in ((961, 0.1), (961, 0.01), (200, 0.1), (200, 0.01)):
        realised = norm.sf([threshold_at_most(generator.normal(size=nonmembers), rate) for _ in range(simulations)])
        limit, error = int(rate * nonmembers) / (nonmembers + 1), float(realised.std() / simulations**0.5)
        setting = f"{rate:.0%} nominal, {limit:.2%} in theory, threshold from {nonmembers} non-members"
        yield at_most("realised false-positive rate, mean", setting, float(realised.mean()), limit, error)


def rates(_simulations: int, _seed: int) -> Iterator[Row]:
    """Exact, by summing the binomial: the least coverage over 199 true rates."""
    for trials in (20, 100, 968):
        limits = np.array([clopper_pearson(hits, trials) for hits in range(trials + 1)])
        least = min(
            float(binom.pmf(np.flatnonzero((limits[:, 0] <= rate) & (rate <= limits[:, 1])), trials, rate).sum())
            for rate in np.arange(1, 200) / 200
        )
        yield Row("Clopper–Pearson, least coverage", f"{trials} trials, exact", least, 0.95)


def paired_tests(simulations: int, seed: int) -> Iterator[Row]:
    """Two trials of equal AUC, three quarters of whose noise is common, on documents."""
    generator, significant = np.random.default_rng(seed), 0
    for _ in range(simulations):
        sample = documents(0.75, 0.4, 150, 100, False, generator)
        (a, b), (c, d) = ([side + generator.normal(scale=0.5, size=len(side)) for _ in "ab"] for side in sample[:2])
        significant += compare((a, c), (b, d), sample[2:]).p_value <= 0.05
    setting = "AUCs equal, 150 and 100 documents"
    yield covering("paired test, differences not called", setting, 1 - significant / simulations, simulations)


def families(simulations: int, seed: int) -> Iterator[Row]:
    """Holm: how often any true null of a family is rejected."""
    generator = np.random.default_rng(seed)
    for tests, effects, correlation in ((15, 0, 0.0), (15, 0, 0.5), (15, 10, 0.5)):
        common = generator.normal(size=(simulations, 1)) * correlation**0.5
        z = common + generator.normal(size=(simulations, tests)) * (1 - correlation) ** 0.5
        z[:, :effects] += 4
        adjusted = np.array([holm(row) for row in 2 * norm.sf(np.abs(z))])
        share = float((adjusted[:, effects:] <= 0.05).any(axis=1).mean())
        setting = f"{tests} tests, {effects} real effects, correlation {correlation}"
        yield at_most("Holm, any false rejection", setting, share, 0.05, (0.05 * 0.95 / simulations) ** 0.5)


def several_seeds(simulations: int, seed: int) -> Iterator[Row]:
    """Seeds shift the members' scores; the same records under every seed, half of their noise common."""
    generator = np.random.default_rng(seed)
    for seeds, spread in ((5, 0.02), (5, 0.1), (5, 0.3), (10, 0.1)):
        truth, covered = float(norm.cdf(1 / (2 + spread**2) ** 0.5)), 0
        for _ in range(simulations):
            sample = documents(0.5, 0.3, 100, 60, False, generator)
            ours, theirs = (
                side * 0.5**0.5 + generator.normal(scale=0.5**0.5, size=(seeds, len(side))) for side in sample[:2]
            )
            ours += 1 + generator.normal(scale=spread, size=(seeds, 1))
            mean = over_seeds(*clustered(ours, theirs, *sample[2:]))
            covered += mean.low <= truth <= mean.high
        setting = f"{seeds} seeds, AUC varying by {spread * norm.pdf(2**-0.5) / 2**0.5:.3f} among them"
        yield covering("mean over seeds", setting, covered / simulations, simulations)


def claims(simulations: int, seed: int) -> Iterator[Row]:
    """At a true difference of just the margin "more" and "equivalent" are wrong; each may be 2.5% of the time."""
    generator, error = np.random.default_rng(seed), (0.025 * 0.975 / simulations) ** 0.5
    for seeds, spread in ((5, 0.005), (10, 0.01)):
        differences = MARGIN + generator.normal(scale=spread, size=(simulations, seeds))
        verdicts = [claim(row, np.zeros(seeds), MARGIN).verdict for row in differences]
        for verdict in ("more", "equivalent"):
            setting = f"{seeds} seeds, spread {spread}, difference at the margin"
            share = verdicts.count(verdict) / simulations
            yield at_most(f'claim "{verdict}" in error', setting, share, 0.025, error)


def one_run(simulations: int, seed: int) -> Iterator[Row]:
    """Randomized response is right with chance e^ε/(1+e^ε): how often the bound exceeds the true ε.

    The bound rises with the right guesses, so the chance of a violation is also a binomial tail, without noise.
    """
    generator, bound, exact = np.random.default_rng(seed), cache(epsilon_lower_bound), []
    for canaries, guesses in ((200, 100), (1000, 1000)):
        for epsilon in (0.0, 0.5, 1.0, 2.0, 4.0):
            right = generator.binomial(guesses, expit(epsilon), size=simulations)
            share = float(np.mean([bound(canaries, guesses, int(v), 0.0) > epsilon for v in right]))
            setting = f"ε = {epsilon}, {guesses} guesses, {canaries} canaries"
            yield at_most("one-run bound above ε", setting, share, 0.05, (0.05 * 0.95 / simulations) ** 0.5)
            fewest = bisect_right(range(guesses + 1), epsilon, key=lambda v, m=canaries, r=guesses: bound(m, r, v, 0.0))
            exact.append(float(binom.sf(fewest - 1, guesses, expit(epsilon))))
    yield at_most("one-run bound above ε, most", "the ten settings above, exact", max(exact), 0.05, 0.0)


def gaussian_one_run(simulations: int, seed: int) -> Iterator[Row]:
    """Canaries' scores under a Gaussian mechanism, N(μ, 1) where they are in and N(0, 1) where they are out, guessed as
    an audit guesses them: how often its bound on ε exceeds the true one."""
    generator, bound, turns = np.random.default_rng(seed), cache(gaussian_epsilon), max(simulations, 200)
    for canaries in (200, 1000):
        for mu in (0.0, 0.5, 2.0):
            guesses, truth, above = guesses_of(None, canaries), epsilon_of(mu, 1e-5), 0
            for _ in range(turns):
                is_in = generator.random(canaries) < 0.5
                signs = guess(generator.normal(size=canaries) + mu * is_in, guesses)
                right = int((signs[is_in] == 1).sum() + (signs[~is_in] == -1).sum())
                above += bound(canaries, guesses, right, 1e-5) > truth
            setting = f"μ = {mu}, ε = {truth:.2f} at δ = 1e-5, {guesses} guesses, {canaries} canaries"
            yield at_most("Gaussian one-run bound above ε", setting, above / turns, 0.05, (0.05 * 0.95 / turns) ** 0.5)


CHECKS = (
    independent_records,
    clustered_records,
    thresholds,
    rates,
    paired_tests,
    families,
    several_seeds,
    claims,
    one_run,
    gaussian_one_run,
    *(partial(check, at_most=at_most) for check in validate_attacks.CHECKS),
    null_controls,
    *(
        partial(check, row=Row)
        for check in (*validate_rates.CHECKS, *validate_verdicts.CHECKS, *validate_stopping.CHECKS)
    ),
)


def main() -> int:
    """Run every check, print the table; 1 where a row is out of range."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=20240607)
    options = parser.parse_args()
    if options.simulations < 100:
        parser.error(f"--simulations must be at least 100 to say anything, got {options.simulations}")
    started, rows = time.perf_counter(), []
    print("| what | setting | measured | required | holds |\n|---|---|---|---|---|")
    for check in CHECKS:
        for row in check(options.simulations, options.seed):
            print(row, flush=True)
            rows.append(row)
    out = sum(not row.holds for row in rows)
    print(f"\n{options.simulations} simulations a row, seed {options.seed}: {out} of {len(rows)} rows out of range")
    print(f"{time.perf_counter() - started:.0f} s", file=sys.stderr)
    return int(out > 0)


if __name__ == "__main__":
    sys.exit(main())
