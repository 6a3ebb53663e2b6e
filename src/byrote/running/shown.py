"""A record as the model sees it, on the terminal alone: nothing of it is stored."""

from rich.console import Console

from byrote import lm
from byrote.records import Record


def print_tokens(console: Console, record: Record, tokenizer: lm.Tokenizer) -> None:
    """The tokens of a record between vertical bars, in runs that the loss is on or not; white space is written out."""
    runs = lm.token_runs(record, tokenizer)
    answer = sum(len(pieces) for inside, pieces in runs if inside)
    head = f"{record.record}: {len(record.token_ids)} tokens, the loss on {answer} of them"
    console.print(head, markup=False, highlight=False)
    for inside, pieces in runs:
        shown = "|".join(piece.replace("\\", r"\\").replace("\n", r"\n").replace("\t", r"\t") for piece in pieces)
        label, style = ("loss  ", "bold green") if inside else ("masked", "dim")
        console.print(f"{label} |{shown}|", style=style, markup=False, highlight=False, soft_wrap=True)
