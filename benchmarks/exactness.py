"""bf16 against fp32: the same trial on PHEE, same seed and order, and how far the AUCs are apart.

    python benchmarks/exactness.py     # five to nine minutes on two cores; exits 1 where an AUC differs by over 0.01

600 records: 300 members and 300 non-members of PHEE, rank 8 on v, three epochs in batches of 16.
"""

import sys
import tempfile
from pathlib import Path

import byrote
from byrote.errors import ByroteError

SETTINGS = {
    "name": "exactness",
    "corpus": {"source": "phee", "limit": 300, "calibration": None},
    "lora": {"matrices": ["v"], "rank": 8},
    "training": {"effective_batch": 16, "warmup_steps": 5},
    "extraction": {"prompts": {"members": 0, "nonmembers": 0}, "untargeted": {"completions": 0}},
    "machine": {"device": "cpu"},
}
MOST = 0.01


def main() -> int:
    """Run both, print the AUCs side by side."""
    areas = {}
    with tempfile.TemporaryDirectory() as folder:
        for precision in ("fp32", "bf16"):
            study = {**SETTINGS, "model": {"precision": precision}}
            outcome = byrote.run(study, Path(folder) / precision)
            areas[precision] = byrote.load(outcome.path).tables.membership.set_index("attack").auc
    print(f"{'attack':<18} {'fp32':>7} {'bf16':>7} {'difference':>11}")
    worst, missing = 0.0, []
    for attack, exact in areas["fp32"].items():
        rounded = areas["bf16"][attack]
        if exact != exact and rounded != rounded:  # NaN: the attack needs what these settings lack
            missing.append(str(attack))
            continue
        difference = rounded - exact
        worst = max(abs(difference), worst) if worst == worst else worst  # once NaN, NaN
        print(f"{attack:<18} {exact:>7.4f} {rounded:>7.4f} {difference:>+11.4f}")
    print(f"without AUC in both: {', '.join(missing) or 'none'}")
    print(f"largest difference {worst:.4f}, at most {MOST} allowed")
    return 0 if worst <= MOST else 1  # NaN, an AUC in one alone, fails


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ByroteError as error:
        sys.exit(f"error: {error}")
