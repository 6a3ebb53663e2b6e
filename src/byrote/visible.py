"""Control characters in names of the user's, shown instead of obeyed."""

_SEEN = {
    **{code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\n\t"},
    127: "\u2421",
    **dict.fromkeys([*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)], "\ufffd"),
}


def visible(text: str) -> str:
    """The text with a sign in the place of each control character (␛ of an escape) and of each that turns the direction
    of writing; line ends and tabs stay. As long as before."""
    return text.translate(_SEEN)
