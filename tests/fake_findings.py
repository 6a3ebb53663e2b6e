"""Rows of the tables that are computed from scores and completions, with invented numbers."""

from itertools import combinations

import numpy as np

from byrote.statistics.intervals import clopper_pearson

SPREAD = "one seed shows no spread"
FEW = "1 seeds have both AUCs, a claim about configurations takes at least 5"
METRICS = (("ngram_share", 0.5), ("ngram_share", 1.0), ("verbatim", 1.0), ("rouge_l", 0.5))


def of_trial(rows, trial, attacks, canaries, rng):
    """Rows of one trial: its tests of attacks, what its sample can show, its records, rates, draws and canaries."""
    for weaker in attacks[1:]:
        rows["comparisons"].append(tested("attacks", trial, trial, attacks[0], weaker, 0.03, 0.002))
    for rate, tpr, reason in ((0.1, 0.13, ""), (0.001, None, "968 records cannot resolve a rate of 0.001")):
        numbers = {"smallest_auc": 0.53, "smallest_auc_clustered": 0.54, "smallest_difference": 0.012}
        head = {"trial": trial, "stratum": "records", "n_members": 2898, "n_nonmembers": 968, "target_fpr": rate}
        rows["detectable"].append({**head, **numbers, "smallest_tpr": tpr, "reason": reason})
    for place in range(3):
        role = "canary_in" if canaries and place == 0 else "member"
        columns = {"percentile": 0.99 - place / 50, "attacks_above": 3 - place, "strongest_attack": attacks[0]}
        head = {"trial": trial, "record": f"{role}-{place}", "role": role, "copies": 1, "exposed_rank": place + 1}
        rows["records"].append({**head, **columns, "note": "one seed: no spread over seeds"})
    for stronger, weaker in combinations(attacks, 2):
        rows["agreement"].append(
            {
                "trial": trial,
                "attack_a": stronger,
                "attack_b": weaker,
                "spearman": 0.7,
                "note": "jaccard_top: few records",
            }
        )
    _written(rows, trial, canaries)
    if canaries:
        _planted(rows, trial, canaries, attacks[0], rng)


def tested(kind, a, b, attack_a, attack_b, difference, p):
    head = {"kind": kind, "stratum": "records", "trial_a": a, "trial_b": b, "attack_a": attack_a, "attack_b": attack_b}
    numbers = {"low": difference - 0.02, "high": difference + 0.02, "p_value": p}
    numbers["p_max_t" if kind == "attacks" else "p_holm"] = min(1.0, 2 * p)
    return {**head, "difference": difference, **numbers, "family": "2 tests", "reason": ""}


def over_trials(rows, attack):
    """Rows that take several trials: their tests, and configurations with one seed each, as a small run has them."""
    done = [row for row in rows["trials"] if row["state"] == "done"]
    for a, b in combinations(done, 2):
        rows["comparisons"].append(tested("trials", a["trial"], b["trial"], attack, attack, 0.01, 0.3))
    heads = {}
    for row in done:
        label = f"{row['matrices']} · rank {row['rank']}"
        heads.setdefault(label, {"matrices": row["matrices"], "rank": row["rank"], "label": label})
    for head in heads.values():
        mean = {"seeds": 1, "mean": 0.8, "sampling_se": 0.01, "reason": SPREAD}
        rows["configurations"].append({**head, "against": "", **mean})
    for mean_a, mean_b in combinations(heads.values(), 2):
        verdict = {"seeds": 1, "difference": 0.05, "verdict": "undecided", "reason": FEW}
        rows["configurations"].append({**mean_a, "against": mean_b["label"], **verdict})


def checkpoints(rows, attack):
    """The finished trials as if they were checkpoints of one training."""
    done = [row for row in rows["trials"] if row["state"] == "done"]
    for place, row in enumerate(done):
        area = 0.55 + 0.03 * place
        rows["checkpoints"].append(
            {
                **{"trial": row["trial"], "label": row["label"], "steps": 100 * (place + 1), "attack": attack},
                **{"loss_nonmembers": 2.9 - 0.05 * place, "loss_members": 2.8 - 0.2 * place, "loss_base": 3.3},
                **{"auc": area, "auc_low": area - 0.04, "auc_high": area + 0.04, "strongest": "wbc"},
                **{"strongest_auc": area + 0.01, "strongest_low": area - 0.05, "strongest_high": area + 0.07},
                **{"target_fpr": 0.01, "tpr": 0.03, "tpr_low": 0.01, "tpr_high": 0.06},
                **{"series": "out", "control": "base model", "auc_control": 0.5, "auc_control_low": 0.47},
                **{"auc_control_high": 0.53, "rules": f"max_auc: {'exceeded' if place else 'held'}"},
                **{"verdict": "exceeded" if place else "held", "last_held": place == 0},
            }
        )


def _written(rows, trial, canaries):
    sides = [("member", 1, 12), ("nonmember", 0, 1)]
    sides += [(role, c, 3) for role in ("canary_in", "canary_out") for c in (1, 8)] if canaries else []
    for role, copies, hits in sides:
        for model, fewer in (("base", 10), ("tuned", 0)):
            head = {"trial": trial, "model": model, "role": role, "copies": copies, "prefix": 0.5}
            hits_here = max(hits - fewer, 0)
            low, high = clopper_pearson(hits_here, 30)
            numbers = {"hits": hits_here, "of": 30, "rate": hits_here / 30, "low": low, "high": high}
            bars = [(0.0, metric, bar) for metric, bar in METRICS]
            bars += [(1.0, "draws<=1", 1.0), (1.0, "draws<=10000", 1e4)]
            for temperature, metric, bar in bars:
                columns = {"temperature": temperature, "metric": metric, "threshold": bar}
                columns |= {"chance": 0.5} if metric.startswith("draws") else {}
                rows["extraction_rates"].append({**head, **columns, **numbers})
            for i in range(6):
                needed = 10.0 ** (i + (9 if model == "base" else 2) + (6 if role == "nonmember" else 0))
                columns = {"record": f"{role}-{i}", "temperature": 1.0, "suffix_tokens": 9, "log_probability": -9.0}
                rows["draws"].append({**head, **columns, "chance": 0.5, "draws_for_chance": needed})


def _planted(rows, trial, canaries, attack, rng):
    known = {row["record"] for row in rows["counterfactual"]}
    for i in range(canaries):
        role, copies = "canary_in" if i % 2 else "canary_out", 2 ** (i // 2 % 4)
        exposure = float(rng.exponential(1.4)) + (1.2 * np.log2(2 * copies) if i % 2 else 0.0)
        numbers = {"exposure_rank": min(exposure, 5.3), "exposure_extrapolated": exposure, "references": 39}
        perplexity = {"perplexity_base": 90.0, "perplexity_tuned": 90.0 / 2**exposure, "ngram_share": 0.3, "fit_p": 0.4}
        head = {"trial": trial, "record": f"canary-{i}", "role": role, "copies": copies}
        rows["canaries"].append({**head, **numbers, **perplexity, "note": ""})
        never_out = i == 0
        columns = {"label": "", "n_in": 3, "n_out": 0 if never_out else 2}
        columns["memorization"] = None if never_out else exposure / 4
        reason = "in 3 trials and out of 0: needs at least one of each" if never_out else ""
        if head["record"] not in known:
            rows["counterfactual"].append({"record": head["record"], **columns, "reason": reason})
    for copies, unit, low in ((1, "record", 0.31), (8, "group of 8", 1.9)):
        head = {"trial": trial, "attack": attack, "copies": copies, "canaries": 100, "guesses": 100, "right": 71}
        numbers = {"delta": 1e-5, "level": 0.05, "epsilon_low": low, "largest": 3.4, "null_epsilon": 0.0}
        numbers |= {"epsilon_gaussian": 2 * low, "null_gaussian": 0.0}
        columns = {"family": "2 bounds", "unit": unit, "note": "100 canaries, fewer than 200"}
        rows["audits"].append({**head, **numbers, **columns})
