"""Tables as a real run has them, with invented numbers from a seeded generator."""

import itertools
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
from scipy.stats import norm

from byrote.statistics.intervals import clopper_pearson, hanley_mcneil
from byrote.tables.build import COLUMNS, Tables
from fake_findings import checkpoints, of_trial, over_trials

PLACEMENT = {"q": 0.66, "k": 0.67, "v": 0.79, "o": 0.76, "q,k": 0.74}


def from_rows(rows: dict[str, list[dict]]) -> Tables:
    """Rows as data frames of the types that a run's tables have."""
    schemas = {name: pa.schema(list(columns.items())) for name, columns in COLUMNS.items()}
    return Tables(**{name: pa.Table.from_pylist(rows[name], schemas[name]).to_pandas() for name in COLUMNS})


def empty_tables() -> Tables:
    return from_rows({name: [] for name in COLUMNS})


def fake_tables(
    matrices=tuple(PLACEMENT), ranks=(1, 2, 4), seeds=(13,), canaries=40, failed=(), members=2898, nonmembers=968
) -> Tables:
    """`failed`: indices of trials that failed. canaries: planted and left out together, 0 for none."""
    rng = np.random.default_rng(5)
    rows: dict[str, list[dict]] = {name: [] for name in COLUMNS}
    for index, (name, rank, seed) in enumerate((m, r, s) for m in matrices for r in ranks for s in seeds):
        trial = f"{index:012x}"
        done = index not in failed
        rows["trials"].append(_trial(trial, name, rank, seed, done, members, rng))
        if not done:
            continue
        area = PLACEMENT.get(name, 0.7) + 0.015 * np.log2(rank) + rng.normal(0, 0.005)
        for attack, drop in (("loss", 0.06), ("ratio", 0.0), ("difference", 0.01)):
            _membership(rows, (trial, name, rank, seed), attack, area - drop, members, nonmembers, rng)
        of_trial(rows, trial, ("ratio", "loss", "difference"), canaries, rng)
        if canaries:
            _extraction(rows, trial, area, canaries, rng)
        for stage, began, seconds, tokens in (
            ("finetune", 0, 310.0, 480_000),
            ("scores", 310, 42.0, 190_000),
            ("completions", 352, 61.0, 9e3),
        ):
            rows["timings"].append(
                {
                    **{"trial": trial, "stage": stage, "seconds": seconds, "tokens": tokens, "device": "cpu"},
                    **{"tokens_per_second": tokens / seconds, "peak_memory": 2_100_000_000},
                    **{"began": _at(began), "finished": _at(began + seconds)},
                }
            )
    over_trials(rows, "ratio")
    checkpoints(rows, "ratio")
    return from_rows(rows)


def _at(seconds):
    """A moment after the start, when all trials began side by side."""
    return (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).isoformat()


def _trial(trial, name, rank, seed, done, members, rng):
    return {
        **{"trial": trial, "matrices": name, "rank": rank, "seed": seed, "state": "done" if done else "failed"},
        **{"trainable_parameters": 46080 * rank, "total_parameters": 134_515_008},
        **{"trainable_share": 46080 * rank / 134_515_008, "members": members, "steps": 138},
        **{"loss": 3.1 if done else None, "perplexity_base": 113.2 if done else None},
        "perplexity_tuned": 41.0 + rng.normal(0, 3) if done else None,
        **{"perplexity_base_members": 112.0 if done else None, "perplexity_tuned_members": 30.0 if done else None},
        "condition": "",
        **{"label": f"{name} · rank {rank} · seed {seed}", "scaling": "fixed", "alpha": 16.0, "epochs": 3},
        **{"learning_rate": 1e-3, "copies": "", "varied": ""},
    }


def _membership(rows, key, attack, area, members, nonmembers, rng):
    trial, name, rank, seed = key
    for stratum, n_in, n_out, shift in (("records", members, nonmembers, 0), ("canaries@8", 20, 20, 0.08)):
        low, high = hanley_mcneil(area + shift, n_in, n_out)
        rows["membership"].append(
            {
                **{"trial": trial, "matrices": name, "rank": rank, "seed": seed, "stratum": stratum},
                **{"copies": 8 if shift else 1, "attack": attack, "n_members": n_in, "n_nonmembers": n_out},
                **{"left_out": 2 if stratum == "records" else 0, "auc": area + shift, "auc_low": low, "auc_high": high},
                **{"interval": "by document (Obuchowski)", "auc_control": 0.503 if attack == "loss" else None},
                **{"control_note": "", "above_control": area + shift - 0.503 if attack == "loss" else None},
                **{
                    "control": "base model" if attack == "loss" else "none: needs a null trial",
                    "knowledge": "outsider",
                },
                **{"hanley_low": low, "hanley_high": high, "auc_length_matched": area, "smallest_auc": 0.53},
                **{"simultaneous_low": low - 0.01, "simultaneous_high": high + 0.01, "resamples": 1000},
                **({"auc_control_se": (high - low) / 4} if attack == "loss" else {}),
                **({"auc_blind": 0.495, "blind_p_value": 0.6, "blind_permutations": 499} if not shift else {}),
            }
        )
    power = 1 / max(area, 0.5) - 1
    for fpr in np.concatenate([[0], np.geomspace(1 / nonmembers, 1, 60)]):
        rows["roc"].append({"trial": trial, "stratum": "records", "attack": attack, "fpr": fpr, "tpr": fpr**power})
    _histogram(rows, trial, attack, area, members, nonmembers)
    for target in (0.1, 0.01, 0.001):
        for source in ("calibration", "published"):
            _operating_point(rows, trial, attack, target, source, power, members, nonmembers, rng)


def _histogram(rows, trial, attack, area, members, nonmembers):
    """Normal scores a distance apart that gives the AUC; `loss` has a control, where both sides lie alike."""
    edges = np.linspace(-3, 4, 31)
    shares = np.diff(norm.cdf(edges)), np.diff(norm.cdf(edges, np.sqrt(2) * norm.ppf(area)))
    for k, (low, high) in enumerate(itertools.pairwise(edges)):
        counts = {"members": round(members * shares[1][k]), "nonmembers": round(nonmembers * shares[0][k])}
        same = {"members_control": round(members * shares[0][k]), "nonmembers_control": counts["nonmembers"]}
        head = {"trial": trial, "stratum": "records", "attack": attack, "low": low, "high": high}
        rows["histograms"].append({**head, **counts, **(same if attack == "loss" else {})})


def _operating_point(rows, trial, attack, target, source, power, members, nonmembers, rng):
    refused = "0.001 of 968 non-members is fewer than one record" if target < 1 / nonmembers * 5 else None
    row = {"trial": trial, "stratum": "records", "attack": attack, "target_fpr": target, "threshold_source": source}
    if refused is None:
        hits, wrong = int(target**power * members), int(rng.binomial(nonmembers, target))
        low, high = clopper_pearson(hits, members)
        wrong_low, wrong_high = clopper_pearson(wrong, nonmembers)
        row |= {"threshold": 1.1, "tpr": hits / members, "realised_fpr": wrong / nonmembers}
        if source == "calibration":
            row |= {"tpr_low": low, "tpr_high": high, "tpr_interval": "by document (threshold and members)"}
            row |= {"realised_fpr_low": wrong_low, "realised_fpr_high": wrong_high}
    rows["operating_points"].append({**row, "refused_because": refused})


def _extraction(rows, trial, area, canaries, rng):
    plan = [(f"canary-{i}", "canary_in" if i % 2 else "canary_out", 2 ** (i // 2 % 6)) for i in range(canaries)]
    plan += [(f"member-{i}", "member", 1) for i in range(30)] + [(f"other-{i}", "nonmember", 0) for i in range(30)]
    for record, role, copies in plan:
        base = float(np.exp(rng.normal(4.6, 0.6)))
        seen = {"canary_in": copies, "member": 1}.get(role, 0)
        tuned = 1 + (base - 1) * 0.45 / (1 + 0.35 * seen) * float(np.exp(rng.normal(0, 0.2)))
        for temperature in (0.0, 0.5, 1.0):
            for model, perplexity in (("base", base), ("tuned", tuned)):
                drive = 2.4 - 1.1 * np.log(perplexity) + 4 * (area - 0.5) - 1.5 * temperature
                suffix = int(rng.integers(8, 30))
                longest = int(np.clip(round(suffix / (1 + np.exp(-drive - rng.normal(0, 0.7)))), 1, suffix))
                rows["extraction"].append(
                    {
                        **{"trial": trial, "model": model, "record": record, "role": role, "copies": copies},
                        **{"prefix": 0.5, "temperature": temperature, "sample": 0, "prefix_tokens": suffix},
                        **{"suffix_tokens": suffix, "longest_ngram": longest, "ngram_share": longest / suffix},
                        **{"verbatim": longest == suffix, "perplexity_base": base, "perplexity_tuned": tuned},
                        "output_perplexity": float(np.exp(rng.normal(1.5, 0.3))),
                    }
                )
