"""What is shown of the user's: control characters seen and not obeyed, the home folder by its sign."""

from pathlib import Path

_SEEN = {
    **{code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\n\t"},
    127: "\u2421",
    **dict.fromkeys([*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)], "\ufffd"),
}


def visible(text: str) -> str:
    """The text with a sign in the place of each control character (␛ of an escape) and of each that turns the direction
    of writing; line ends and tabs stay. As long as before."""
    return text.translate(_SEEN)


def without_home(text: str) -> str:
    """The text with `~` in the place of the user's home folder, whose name is often theirs."""
    home = str(Path.home())
    return text.replace(f"{home}/", "~/") if len(home) > 1 else text
