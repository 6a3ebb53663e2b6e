"""What a study of several seeds says of the adapted matrices: means, controls, and differences paired by seed.

python benchmarks/placements.py runs/table-3.1

Reads tables/ of a finished run and prints what docs/results.md has. A difference paired by seed is between two trained
models of the same seed on the same records; its t interval is over the seeds alone, so it speaks of these records.
"""

import argparse
import itertools
import math
from pathlib import Path

import pandas as pd
from scipy.stats import t as student

import byrote

ATTACKS = ("ratio", "ez", "loss")


def main() -> None:
    """Prints three tables in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    tables = byrote.load(parser.parse_args().run).tables
    areas = tables.membership[tables.membership["stratum"] == "records"]
    print(placements(tables.trials, areas, tables.null_trials), end="\n\n")
    print(differences(areas), end="\n\n")
    print(claims(tables.configurations))


def placements(trials: pd.DataFrame, areas: pd.DataFrame, nulls: pd.DataFrame) -> str:
    """Means over seeds: loss, perplexity, AUC of each attack with its control and how far above it the trial lies."""
    lines = [["matrices", "parameters", "loss", "perplexity", *ATTACKS, "ratio: control", "above it", "null trial"]]
    for matrices, of in trials.groupby("matrices", sort=False):
        here = areas[areas["matrices"] == matrices]
        means = here.groupby("attack")[["auc", "auc_control", "above_control"]].mean()
        matched = nulls[nulls["trial"].isin(of["trial"])]["matched"]
        lines.append(
            [
                *(str(matrices), f"{of['trainable_parameters'].iloc[0]:,}", f"{of['loss'].mean():.2f}"),
                f"{of['perplexity_tuned'].mean():.1f}",
                *(f"{means.loc[name, 'auc']:.3f}" for name in ATTACKS),
                f"{means.loc['ratio', 'auc_control']:.3f}",
                f"{means.loc['ratio', 'above_control']:.3f}",
                f"matched in {matched.sum()} of {len(matched)}",
            ]
        )
    return markdown(lines)


def differences(areas: pd.DataFrame, level: float = 0.95) -> str:
    """Each pair of placements by attack: mean difference over seeds, its t interval, and how often it is above 0."""
    lines = [["difference of AUC, paired by seed", *ATTACKS]]
    for first, second in itertools.combinations(dict.fromkeys(areas["matrices"]), 2):
        cells = []
        for attack in ATTACKS:
            by_seed = areas[areas["attack"] == attack].pivot_table(index="seed", columns="matrices", values="auc")
            apart = (by_seed[second] - by_seed[first]).dropna()
            half = student.ppf((1 + level) / 2, len(apart) - 1) * apart.std() / math.sqrt(len(apart))
            mean = apart.mean()
            cells.append(
                f"{mean:+.3f} [{mean - half:+.3f}, {mean + half:+.3f}], above 0 in {(apart > 0).sum()} of {len(apart)}"
            )
        lines.append([f"{second} − {first}", *cells])
    return markdown(lines)


def claims(configurations: pd.DataFrame) -> str:
    """The study's claims, whose intervals hold together and count the sampling of records too."""
    of_pairs = configurations[configurations["verdict"].fillna("") != ""]
    lines = [["claim", "difference", "interval", "verdict"]]
    for row in of_pairs.to_dict("records"):
        ends = f"[{row['difference_low']:+.3f}, {row['difference_high']:+.3f}]"
        lines.append([f"{row['label']} − {row['against']}", f"{row['difference']:+.3f}", ends, row["verdict"]])
    return markdown(lines)


def markdown(lines: list[list[str]]) -> str:
    """Rows as a table; the first is the head."""
    rows = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([rows[0], f"|{'---|' * len(lines[0])}", *rows[1:]])


if __name__ == "__main__":
    main()
