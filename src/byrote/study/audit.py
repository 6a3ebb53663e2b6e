"""What `byrote audit` and `byrote.audit` ask for, as settings of a study: pure, so that both doors mean the same."""

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from byrote.errors import StudyError
from byrote.study.dotted import dotted_names
from byrote.study.load import load_study, parse_overrides
from byrote.study.paths import is_there
from byrote.study.settings import NO_BASE, Study

PATTERN = "*?["
"""What makes a path a pattern."""
WITHOUT_BASE = "min_k_plus_plus"
"""The primary attack where there is no base model: the strongest of those that need none (docs/attacks.md)."""
CALIBRATION_SEED = 0
AUDIT_DEFAULTS: dict[str, Any] = {
    "name": "audit",
    "extraction": {
        "temperatures": [0.0],
        "prompts": {"members": 100, "nonmembers": 50},
        "untargeted": {"completions": 0},
    },
}
"""What an audit measures where no study says otherwise: little prompting, and nothing from an empty prompt."""


@dataclass(frozen=True, kw_only=True)
class AuditOptions:
    """The options of an audit; None or empty for those that are not given. Paths are as typed, from the working
    directory; `rates` are written F=T."""

    adapters: Sequence[str] = ()
    models: Sequence[str] = ()
    base: str | None = None
    members: str | None = None
    nonmembers: str | None = None
    calibration: str | None = None
    text: str | None = None
    id: str | None = None
    group: str | None = None
    prompt: str | None = None
    completion: str | None = None
    messages: str | None = None
    canaries: str | None = None
    shadow: bool = False
    rates: Sequence[str] = ()
    max_auc: float | None = None
    max_verbatim: int | None = None
    max_epsilon: float | None = None
    equivalent_within: float | None = None
    draws: int | None = None
    minutes: float | None = None
    name: str | None = None


def audit_settings(options: AuditOptions, study: bool) -> dict[str, Any]:
    """Dotted name → value, for `load_study` as overrides: of AUDIT_DEFAULTS, or of the study that is given.

    study: whether one is given, which may then say what the options leave out. Raises StudyError with everything that
    is missing or malformed, one a line.
    """
    mistakes = [*_missing(options, study), *_malformed(options)]
    if mistakes:
        raise StudyError("\n".join(mistakes))
    return dict(_settings(options, study))


def _missing(options: AuditOptions, study: bool) -> Iterator[str]:
    given = bool(options.adapters or options.models)
    if not given and not study:
        yield "nothing to audit: name an adapter (--adapter A), a model (--model M --base B), or a study (STUDY.yaml)"
    for name, value in (("members", options.members), ("nonmembers", options.nonmembers)):
        if value is None and not study:
            what = "records that the model was trained on" if name == "members" else "records that were kept out"
            yield f"--{name} is missing: name a file of {what}"
    if options.models and options.base is None and not study:
        yield (
            f"--model {options.models[0]} does not say what it was tuned from; add --base B, or --base none to do "
            "without a base model"
        )
    if options.adapters and options.base == NO_BASE:
        yield f"--base none: the adapter {options.adapters[0]} works on a base model alone; leave --base out or name it"
    if options.models and options.base == "adapter":
        yield "--base adapter: a whole model does not say what it was tuned from; name its base model, or none"


def _malformed(options: AuditOptions) -> Iterator[str]:
    for rate in options.rates:
        rate_words, equals, limit = rate.partition("=")
        numbers = [_number(rate_words), _number(limit)]
        if not equals or None in numbers:
            yield (
                f"--max-tpr-at-fpr {rate}: write a false-positive rate, = and the highest true-positive rate, such as "
                "0.01=0.05"
            )
        elif not 0 < (numbers[0] or 0) < 1 or not 0 <= (numbers[1] or 0) <= 1:
            yield f"--max-tpr-at-fpr {rate}: rates lie between 0 and 1, such as 0.01=0.05"
    rates = [_number(rate.partition("=")[0]) for rate in options.rates]
    if len(set(rates)) < len(rates):
        yield f"--max-tpr-at-fpr: a false-positive rate has two limits ({', '.join(options.rates)}); leave one out"
    limits: dict[str, tuple[float | None, float, float]] = {
        "--max-auc": (options.max_auc, 0.5, 1),
        "--max-verbatim": (options.max_verbatim, 0, float("inf")),
        "--max-epsilon": (options.max_epsilon, 0, float("inf")),
        "--draws": (options.draws, 1, float("inf")),
    }
    for flag, (value, low, high) in limits.items():
        if value is not None and not low <= value <= high:
            where = f"at least {low:g}" if high == float("inf") else f"between {low:g} and {high:g}"
            yield f"{flag} {value:g} must be {where}"
    if options.minutes is not None and not 0 < options.minutes < float("inf"):
        yield f"--minutes {options.minutes:g} must be above 0; leave it out for no limit"
    if options.equivalent_within is not None and not 0 < options.equivalent_within < 0.5:
        yield f"--equivalent-within {options.equivalent_within:g} must be above 0 and below 0.5"
    kinds = [k for k in ("text", "prompt", "completion", "messages") if getattr(options, k) is not None]
    if kinds not in ([], ["text"], ["messages"], ["prompt", "completion"]):
        yield f"--{', --'.join(kinds)}: a record is --text, or --prompt and --completion, or --messages; name one kind"


def _number(words: str) -> float | None:
    try:
        number = float(words)
    except ValueError:
        return None
    return number if abs(number) < float("inf") else None


def _settings(options: AuditOptions, study: bool) -> Iterator[tuple[str, Any]]:
    subjects = [{"adapter": source} for source in expanded(options.adapters, "--adapter")]
    subjects += [{"model": source} for source in expanded(options.models, "--model")]
    if subjects:
        yield "subjects", subjects
    if options.base is not None:
        yield "model.source", options.base
    if options.base == NO_BASE:
        yield "membership.primary", WITHOUT_BASE
    splits = {name: getattr(options, name) for name in ("members", "nonmembers", "calibration")}
    if any(value is not None for value in splits.values()):
        yield "corpus.source", "files"
    for name, value in splits.items():
        if value is not None:
            yield f"corpus.{name}", str(Path(value).expanduser().absolute())
    if not study and options.calibration is None:
        yield "corpus.calibration_half", CALIBRATION_SEED
    for name in ("text", "id", "group", "prompt", "completion", "messages"):
        if getattr(options, name) is not None:
            yield f"corpus.{name}", getattr(options, name)
    if options.canaries is not None:
        yield "canaries", {"design": "manifest", "path": str(Path(options.canaries).expanduser().absolute())}
    if options.shadow:
        yield "controls.shadow", True
    yield from _rules(options)
    if options.minutes is not None:
        yield "machine.minutes", options.minutes
    if options.name is not None:
        yield "name", options.name


def _rules(options: AuditOptions) -> Iterator[tuple[str, Any]]:
    if options.rates:
        yield (
            "decide.max_tpr_at_fpr",
            {float(f): float(t) for f, _, t in (rate.partition("=") for rate in options.rates)},
        )
    for name in ("max_auc", "max_verbatim", "max_epsilon", "equivalent_within", "draws"):
        if getattr(options, name) is not None:
            yield f"decide.{name}", getattr(options, name)
    if options.rates:
        rates = sorted({float(rate.partition("=")[0]) for rate in options.rates} | {0.1, 0.01}, reverse=True)
        yield "membership.false_positive_rates", rates
    if options.max_verbatim is not None:
        yield "extraction.prompts.members", "all"


def expanded(sources: Sequence[str], flag: str) -> list[str]:
    """Adapters or models with patterns, such as out/checkpoint-*, replaced by the folders that match, by the numbers in
    their names. StudyError for a pattern that nothing matches."""
    found: list[str] = []
    for source in sources:
        if not any(sign in source for sign in PATTERN) or is_there(Path(source)):
            found.append(source)
            continue
        matches = glob.glob(str(Path(source).expanduser()))  # noqa: PTH207 (pathlib has no glob of absolute patterns)
        if not matches:
            raise StudyError(f"{flag} {source}: nothing matches this pattern; correct it, or name a folder")
        found += sorted(matches, key=_by_number)
    return found


def _by_number(path: str) -> tuple[str, int, str]:
    """checkpoint-50 before checkpoint-100."""
    stem = path.rstrip("0123456789")
    digits = path[len(stem) :]
    return stem, int(digits or 0), path


FLAGS = (
    *("adapter", "model", "base", "members", "nonmembers", "calibration", "text", "id", "group"),
    *("prompt", "completion", "messages", "canaries", "shadow"),
    *("max-tpr-at-fpr", "max-auc", "max-verbatim", "max-epsilon", "equivalent-within", "draws", "minutes"),
    *("name", "out", "replace", "check", "show-tokens", "quiet", "json"),
)
"""The options of `byrote audit`, for words that name none of them nor a setting."""


def audit_study(options: AuditOptions, source: str | None = None, words: Sequence[str] = ()) -> Study:
    """The study that an audit runs: `source` (a path or name), else AUDIT_DEFAULTS, with what the options say, and last
    the settings that `words` give under their dotted names. StudyError with every mistake, one a line."""
    for word in words:
        flag = word.partition("=")[0].removeprefix("--")
        if word.startswith("--") and "." not in flag and flag not in dotted_names():
            close = get_close_matches(flag, FLAGS, 1, 0.6)
            near = f"; did you mean --{close[0]}?" if close else ";"
            raise StudyError(f"unknown option --{flag}{near} `byrote audit --help` lists all")
    told = parse_overrides(words)
    settings = {**audit_settings(options, source is not None), **told}
    return load_study(AUDIT_DEFAULTS if source is None else source, settings)
