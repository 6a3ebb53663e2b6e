"""The longest common run of two sequences, by the substring search of strings."""

from collections.abc import Sequence


def longest_run(text: str, other: str) -> int:
    """Length of the longest run of characters that stands in both; 0 for none.

    Only runs longer than the best so far are looked for, so a call makes at most len(text) + result
    searches, each in C.
    """
    longest = 0
    for start in range(len(text)):
        while start + longest < len(text) and text[start : start + longest + 1] in other:
            longest += 1
    return longest


def as_text(ids: Sequence[int], other: Sequence[int]) -> tuple[str, str]:
    """Both sequences of ids as strings, one character an id: equal ids get equal characters, others different ones.

    Those of `ids` that `other` does not hold share a character, which `other` does not hold either.
    """
    letters = {token: chr(i) for i, token in enumerate(dict.fromkeys(other))}
    strange = chr(len(letters))
    return "".join(letters.get(token, strange) for token in ids), "".join(letters[token] for token in other)
