# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false
"""Single records: the most exposed of a trial, whether attacks agree on them, and counterfactual memorization.

Rows of tables. Axes: T trials, N records, Q non-members.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from byrote.ragged import mean_by_record
from byrote.records import RECORDS_STRATUM, copies_in
from byrote.statistics.agreement import LEAST_RECORDS, agreement, empirical_p, most_exposed, spread_over_seeds
from byrote.statistics.counterfactual import lira_each, logit_scaled, memorization
from byrote.statistics.roc import threshold_at_most
from byrote.tables.compared import Scored, ScoredStratum, present, strongest
from byrote.tables.configurations import label_of, together

TOP = 50  # records listed of each trial, and the size of the top that two attacks are compared on
ABOVE = 0.01  # the false-positive rate whose threshold `attacks_above` counts
LEAST_TRIALS = 4  # of one configuration, for counterfactual rows
Row = dict[str, Any]


Known = Mapping[tuple[str, str], float]  # the primary attack's score of members, by stratum and record


def record_rows(siblings: Sequence[Sequence[ScoredStratum]], primary: str) -> Iterator[Row]:
    """The TOP most exposed records of each trial of a configuration, among its members and planted canaries
    (`agreement.most_exposed`).

    siblings: the strata of each trial, `records` first. percentile: mean over attacks of the share of non-members below
    the record. attacks_above: how many put it at or above their threshold for 1% of false positives. seeds_sd: of the
    primary attack's score, over the seeds that trained on the record as often.
    """
    known = [
        {
            (s.compared.stratum.name, record): score
            for s in strata
            for record, score in zip(s.compared.stratum.members, s.scores[primary].members.tolist(), strict=True)
        }
        for strata in siblings
    ]
    for strata in siblings:
        yield from _record_rows(strata, known)


def _record_rows(strata: Sequence[ScoredStratum], known: Sequence[Known]) -> Iterator[Row]:
    first = strata[0]
    scores = {name: np.concatenate([s.scores[name].members for s in strata]) for name in first.scores}
    nonmembers = {name: scored.nonmembers for name, scored in first.scores.items()}
    ids = [record for s in strata for record in s.compared.stratum.members]
    if not ids or not nonmembers:
        return
    top = most_exposed(scores, nonmembers, TOP).records
    stratum = [s.compared.stratum for s in strata for _ in s.compared.stratum.members]
    sd, why = _seeds_sd([(stratum[i].name, ids[i]) for i in top], known)
    below = _below(scores, nonmembers, top)
    thresholds = {name: _threshold(scored) for name, scored in first.scores.items()}
    set_ = {name: threshold for name, threshold in thresholds.items() if threshold is not None}
    lost = len(thresholds) - len(set_)
    note = f"{lost} of {len(thresholds)} attacks have no threshold for {ABOVE:.0%}" if lost else ""
    for place, i in enumerate(top):
        yield {
            "trial": first.trial,
            "record": ids[i],
            "role": "member" if stratum[i].name == RECORDS_STRATUM else "canary_in",
            "copies": stratum[i].copies,
            "exposed_rank": place + 1,
            **present(percentile=_mean(below[:, place]), seeds_sd=float(sd[place])),
            "attacks_above": sum(bool(scores[n][i] >= t) for n, t in set_.items()) if set_ else None,
            "strongest_attack": strongest(dict(zip(scores, below[:, place].tolist(), strict=True))),
            "note": "; ".join(filter(None, (note, why))),
        }


def _below(scores: Mapping[str, np.ndarray], nonmembers: Mapping[str, np.ndarray], top: np.ndarray) -> np.ndarray:
    """Share of non-members that score lower, by attack and record (A, n); NaN without a score."""
    rows: list[np.ndarray] = []
    for name, values in scores.items():
        p = empirical_p(values[top], nonmembers[name])
        known = int((~np.isnan(nonmembers[name])).sum())
        rows.append(1 - (p * (1 + known) - 1) / max(known, 1))
    return np.array(rows)


def _threshold(scored: Scored) -> float | None:
    """From the calibration records where they resolve the rate, else from the non-members; None where neither does."""
    for side in (scored.calibration, scored.nonmembers):
        try:
            return threshold_at_most(side[~np.isnan(side)], ABOVE)
        except ValueError:
            continue
    return None


def _seeds_sd(wanted: Sequence[tuple[str, str]], known: Sequence[Known]) -> tuple[np.ndarray, str]:
    """Spread of the primary attack's score over seeds (n,), of records by stratum and id; and why there is none."""
    if len(known) < 2:
        return np.full(len(wanted), math.nan), "one seed: no spread over seeds"
    scores_SN = [[of_seed.get(key, math.nan) for key in wanted] for of_seed in known]
    return spread_over_seeds(np.array(scores_SN)), ""


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else math.nan


def agreement_rows(scored_stratum: ScoredStratum) -> Iterator[Row]:
    """Between each two attacks, on the members of a stratum: rank correlation, and overlap of the TOP highest."""
    scores = {name: scored.members for name, scored in scored_stratum.scores.items()}
    if not scores:
        return
    agreed = agreement(scores, TOP)
    for i, attack in enumerate(agreed.attacks):
        for j in range(i + 1, len(agreed.attacks)):
            records, rho, overlap = int(agreed.records[i, j]), float(agreed.spearman[i, j]), float(agreed.jaccard[i, j])
            flat = f"{records} records, fewer than {LEAST_RECORDS}" if records < LEAST_RECORDS else "an attack is flat"
            why = [f"spearman: {flat}"] if math.isnan(rho) else []
            why += [f"jaccard_top: {records} records are no more than the top {TOP}"] if math.isnan(overlap) else []
            numbers = present(spearman=rho, jaccard_top=overlap)
            head = {"trial": scored_stratum.trial, "attack_a": attack, "attack_b": agreed.attacks[j]}
            yield {**head, **numbers, "note": "; ".join(why)}


def counterfactual_rows(strata: Sequence[ScoredStratum]) -> Iterator[Row]:
    """Memorization of canaries that a coin put in or out, over LEAST_TRIALS trials or more of one configuration.

    memorization: mean log-probability a token over the trials with the record minus that over those without, in nats
    (Zhang et al. 2023) · lira_online, lira_offline: mean over the trials that were trained on it of its score under
    LiRA (Carlini et al. 2022), each with the other trials for the fits. strata: every stratum of every trial.
    """
    canaries = [s for s in strata if copies_in(s.compared.stratum.name) is not None]
    for group in together(canaries):
        trials = list(dict.fromkeys(scored_stratum.trial for scored_stratum in group))
        if len(trials) >= LEAST_TRIALS and group[0].planned["settings"]["canaries"]["design"] == "many":
            yield from _counterfactual(group, trials)


def _counterfactual(group: Sequence[ScoredStratum], trials: Sequence[str]) -> Iterator[Row]:
    strata = [scored_stratum.compared.stratum for scored_stratum in group]
    ids = sorted({record for stratum in strata for record in (*stratum.members, *stratum.nonmembers)})
    place = {record: i for i, record in enumerate(ids)}
    mean_TN, in_TN = np.full((len(trials), len(ids)), math.nan), np.zeros((len(trials), len(ids)), dtype=bool)
    copies: dict[str, set[int]] = {record: set() for record in ids}
    for scored_stratum in group:
        row, stratum = trials.index(scored_stratum.trial), scored_stratum.compared.stratum
        for side, records in enumerate((stratum.members, stratum.nonmembers)):
            at = [place[r] for r in records]
            scores = scored_stratum.compared.sides[side].tuned
            mean_TN[row, at], in_TN[row, at] = mean_by_record(scores.logprob, scores.lengths), side == 0
        for record in stratum.members:
            copies[record].add(stratum.copies)
    mean_TN[np.isinf(mean_TN)] = math.nan  # no mean could be taken; counted in neither number of trials
    memorized = memorization(mean_TN, in_TN)
    scaled_TN = logit_scaled(mean_TN)
    scaled_TN[np.isinf(scaled_TN)] = math.nan
    lira = {variant: lira_each(scaled_TN, in_TN, variant).scores for variant in ("online", "offline")}
    for i, record in enumerate(ids):
        n_in, n_out = int(memorized.trials_in[i]), int(memorized.trials_out[i])
        scores = {f"lira_{variant}": _mean(scores_TN[in_TN[:, i], i]) for variant, scores_TN in lira.items()}
        yield {
            **{"record": record, "n_in": n_in, "n_out": n_out, "label": label_of(group[0].planned)},
            **present(memorization=float(memorized.mem[i]), **scores),
            "reason": _why(n_in, n_out, scores, sorted(copies[record])),
        }


def _why(n_in: int, n_out: int, scores: Mapping[str, float], copies: Sequence[int]) -> str:
    reasons = [f"in by {copies[0]} to {copies[-1]} copies"] if len(copies) > 1 else []
    if not n_in or not n_out:
        reasons.append(f"in {n_in} trials and out of {n_out}: needs at least one of each")
    elif any(math.isnan(score) for score in scores.values()):
        reasons.append("LiRA needs two other trials a side, with some spread")
    return "; ".join(reasons)
