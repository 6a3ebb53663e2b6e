"""Published figures to set beside one's own, with the setting they were measured at."""

from dataclasses import dataclass

import pandas as pd

from byrote.errors import StudyError

_SOURCE = "Savine, Atif, Pydi, Cappé 2024, arXiv 2507.21009"
_SETTING = (
    "Llama-2-7B, PHEE (2898 members, 968 non-members), LoRA alpha 16, learning rate 1e-3, 3 epochs, effective batch "
    "64, attack ratio"
)


@dataclass(frozen=True)
class Published:
    """AUCs from a paper. `cells`: matrices, rank, AUC, printed half-width of its interval (None where none is)."""

    name: str
    title: str
    source: str
    setting: str
    model: str
    cells: tuple[tuple[str, int, float, float | None], ...]

    def frame(self) -> pd.DataFrame:
        """Columns matrices, rank, auc, half_width (NaN where none is printed)."""
        frame = pd.DataFrame(list(self.cells), columns=["matrices", "rank", "auc", "half_width"])
        return frame.astype({"half_width": float})


def _table_3_1() -> tuple[tuple[str, int, float, float | None], ...]:
    matrices = ("q", "k", "v", "o", "q,k")
    aucs = {1: (0.68, 0.68, 0.80, 0.77, 0.76), 2: (0.70, 0.71, 0.82, 0.79, 0.77), 4: (0.72, 0.71, 0.83, 0.80, 0.79)}
    wide = {("q", 1), ("q", 2), ("q", 4), ("k", 1), ("k", 2), ("k", 4), ("o", 1), ("q,k", 1), ("q,k", 2)}
    return tuple(
        (name, rank, auc, 0.02 if (name, rank) in wide else 0.01)
        for rank, row in aucs.items()
        for name, auc in zip(matrices, row, strict=True)
    )


_FIGURE_3_6 = {
    1: 0.909,
    2: 0.924,
    4: 0.931,
    8: 0.939,
    16: 0.942,
    32: 0.944,
    64: 0.945,
    128: 0.9455,
    256: 0.945,
    512: 0.944,
}

PUBLISHED: dict[str, Published] = {
    "table-3.1": Published("table-3.1", "table 3.1", _SOURCE, _SETTING, "Llama-2-7B", _table_3_1()),
    "figure-3.6": Published(
        "figure-3.6",
        "figure 3.6 (values read off the figure)",
        _SOURCE,
        _SETTING,
        "Llama-2-7B",
        tuple(("q,k,v,o", rank, auc, None) for rank, auc in _FIGURE_3_6.items()),
    ),
}


def find_published(name: str) -> Published:
    """The published figures of this name. StudyError lists the names there are.

    >>> find_published("table-3.1").model
    'Llama-2-7B'
    """
    if name not in PUBLISHED:
        raise StudyError(f"report.compare_to: no published figures {name!r}; there are {', '.join(PUBLISHED)}")
    return PUBLISHED[name]
