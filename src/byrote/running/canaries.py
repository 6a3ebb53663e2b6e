"""Canaries put into a user's data set before anything is trained on it: `byrote canaries make`.

What can be wrong is found before torch is imported and the base model is opened.
"""

import os
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from byrote.corpora import formats
from byrote.corpora.canary_rows import (
    Example,
    Prompts,
    content_of,
    examples_of,
    of_lines,
    require_shape,
    rows_of_copies,
)
from byrote.corpora.files import read_bytes
from byrote.corpora.inserting import same_format, with_rows
from byrote.corpora.rows import Table
from byrote.errors import StudyError
from byrote.listener import Listener, Silent
from byrote.planting.manifest import FAIR, Manifest, ManifestCanary, deal
from byrote.planting.written import LEAST_TOKENS, Recipe
from byrote.records import MEMBERS, Assignment, Record, Role
from byrote.statistics.one_run import guesses_of, largest_showable
from byrote.study import Columns, ManyCanaries, Model
from byrote.study.checks import local_base
from byrote.study.settings import SMOLLM2, Audit

if TYPE_CHECKING:
    from byrote import lm

# The temperature at which the base model writes; of new-token, what stands before the new tokens. Mitchell et al.
# (arXiv 2606.10481) call 0.8 and more high for large models; under SmolLM2-135M 1.2 keeps the data's manner and 1.5
# does not.
KINDS = {"synthetic": 1.2, "new-token": 1.2, "high-temperature": 1.5}
MOST_EXAMPLES = 2000  # rows that texts are written after, drawn from larger data


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What `byrote canaries make` is to make.

    count: canaries of each number of copies, in and out together · references: texts that are never planted · seed: of
    texts, copies, coin and places · temperature: None for that of the kind · manifest: None for OUT's name with
    .manifest.json.
    """

    data: Path
    out: Path
    columns: Columns
    count: int
    copies: tuple[int, ...]
    references: int
    seed: int
    kind: str = "synthetic"
    temperature: float | None = None
    model: str = SMOLLM2
    manifest: Path | None = None

    @property
    def manifest_path(self) -> Path:
        """Where the manifest is written."""
        return self.manifest or self.out.with_name(f"{formats.stem(self.out.name)}.manifest.json")

    @property
    def texts(self) -> int:
        """Canaries and references."""
        return self.count * len(self.copies) + self.references


@dataclass(frozen=True)
class Showable:
    """Canaries of one number of copies, and the largest ε that they can show."""

    copies: int
    planted: int
    left_out: int
    epsilon: float


@dataclass(frozen=True)
class Made:
    """What was written. refused: texts that were drawn again · delta, level: of the bounds, all together."""

    out: Path
    manifest_path: Path
    manifest: Manifest
    refused: int
    showable: tuple[Showable, ...]
    delta: float
    level: float

    @property
    def rows(self) -> tuple[int, int]:
        """Rows of the data before and after."""
        return self.manifest.data["rows"], self.manifest.planted["rows"]


def make_canaries(wanted: Wanted, listener: Listener | None = None) -> Made:
    """Write the data with canaries in it, and their manifest.

    Raises StudyError, CorpusError or ModelError for what must be corrected first; then nothing is written.
    """
    listener = listener or Silent()
    _check(wanted)
    source = _read(wanted)
    local_base(Model(source=wanted.model))
    listener.say(f"loading torch and the base model {wanted.model}")
    contents, refused, model = _contents(wanted, source.examples, listener)
    canaries = _dealt(wanted, contents)
    written, rows = _planted(wanted, source, canaries)
    manifest = Manifest(
        kind=wanted.kind,
        seed=wanted.seed,
        temperature=_temperature(wanted),
        model=model,
        columns=wanted.columns.named,
        data=_facts(wanted.data, source.data, len(source.table.rows)),
        planted=_facts(wanted.out, written, rows),
        canaries=canaries,
    )
    mode = wanted.data.stat().st_mode & 0o777
    _write({wanted.manifest_path: (manifest.dump().encode(), 0o600), wanted.out: (written, mode)})
    showable = tuple(_showable(times, canaries, wanted) for times in sorted(wanted.copies))
    return Made(
        wanted.out,
        wanted.manifest_path,
        manifest,
        refused=refused,
        showable=showable,
        delta=Audit().delta,
        level=Audit().level,
    )


def _dealt(wanted: Wanted, contents: Sequence[Mapping[str, Any]]) -> tuple[ManifestCanary, ...]:
    """The first texts as canaries, with copies and coin; the others, which are alike, as references."""
    names = [f"canary{number:05d}" for number in range(wanted.texts)]
    copies = sorted(times for times in wanted.copies for _ in range(wanted.count))
    dealt = deal(names[: len(copies)], copies, FAIR, wanted.seed)
    references = [Assignment(name, Role.REFERENCE, 0) for name in names[len(copies) :]]
    pairs = zip([*dealt, *references], contents, strict=True)
    return tuple(ManifestCanary(a.record, a.role, a.copies, content) for a, content in pairs)


def _facts(path: Path, data: bytes, rows: int) -> dict[str, Any]:
    return {"name": path.name, "sha256": sha256(data).hexdigest(), "rows": rows}


# --- checks -----------------------------------------------------------------------------------------------------


def _check(wanted: Wanted) -> None:
    require_shape(wanted.columns)
    if wanted.kind not in KINDS:
        raise StudyError(f"--kind must be one of {', '.join(KINDS)}, got {wanted.kind!r}")
    if not wanted.copies or min(wanted.copies) < 1 or len(set(wanted.copies)) < len(wanted.copies):
        given = ",".join(map(str, wanted.copies))
        raise StudyError(f"--copies must be different numbers of at least 1, such as 1,4,16, got {given!r}")
    if wanted.references < 0:
        raise StudyError(f"--references must be at least 0, got {wanted.references}")
    if not _temperature(wanted) > 0:
        raise StudyError(f"--temperature must be above 0, got {wanted.temperature:g}")
    if wanted.seed < 0:
        raise StudyError(f"--seed must be at least 0, got {wanted.seed}")
    _enough(wanted)
    for path, option in ((wanted.out, "out"), (wanted.manifest_path, "manifest")):
        if path.exists():
            raise StudyError(f"{path} already exists; name another file with --{option}")
        if not path.parent.is_dir():
            raise StudyError(f"cannot write {path}: there is no folder {path.parent}; make it first")
        try:
            TemporaryFile(dir=path.parent).close()
        except OSError as error:
            told = f"cannot write {path}: {error.strerror or error}"
            raise StudyError(f"{told}; name another folder with --{option}") from None


def _enough(wanted: Wanted) -> None:
    """StudyError where even guesses that are all right would show no ε above 0."""
    if _largest(wanted.count, wanted) > 0:
        return
    least = next((n for n in range(2, 1000, 2) if _largest(n, wanted) > 0), 1000)
    raise StudyError(
        f"--count {wanted.count} canaries of each number of copies can show no ε above 0, whatever the model learned; "
        f"it takes at least {least}, and 200 for a bound worth the name"
    )


def _largest(canaries: int, wanted: Wanted) -> float:
    """The largest ε that so many canaries show where each number of copies has a bound, as one trial gives them."""
    audit = Audit()
    guesses = guesses_of(audit.guesses, canaries)
    if guesses < 2:
        return 0.0
    return largest_showable(canaries, guesses, audit.delta, audit.level / len(wanted.copies))


def _showable(copies: int, canaries: Sequence[ManifestCanary], wanted: Wanted) -> Showable:
    planted = sum(c.role is Role.CANARY_IN for c in canaries if c.copies == copies)
    return Showable(copies, planted, wanted.count - planted, _largest(wanted.count, wanted))


def _temperature(wanted: Wanted) -> float:
    return KINDS[wanted.kind] if wanted.temperature is None else wanted.temperature


# --- texts ------------------------------------------------------------------------------------------------------


def _contents(
    wanted: Wanted, examples: Sequence[Example], listener: Listener
) -> tuple[list[dict[str, Any]], int, dict[str, str]]:
    """What each canary and reference holds, how many texts were drawn again, and what wrote them."""
    # Torch takes seconds to import: mistakes are told before.
    from byrote.passes.canaries import with_new_tokens

    base, tokenizer, model = _open(wanted)
    prompts, generator = Prompts(examples), random.Random(f"prompts {wanted.seed}")
    answers = [example.answer for example in examples if example.answer.strip()]
    write = _writer(wanted, base, tokenizer, listener)
    texts, refused = write("write canaries", answers, 0)
    if wanted.kind == "new-token":
        texts = with_new_tokens(texts, [*answers, *prompts.every_text], tokenizer, wanted.seed)
    said: list[Any] = [None] * len(texts)
    if prompts.are_written:
        new, more = write("write prompts", prompts.texts, 1)
        said, refused = [prompts.with_text(text, generator) for text in new], refused + more
    elif examples[0].prompt is not None:
        said = [prompts.drawn(generator) for _ in texts]
    contents = [content_of(wanted.columns, prompt, text) for prompt, text in zip(said, texts, strict=True)]
    return contents, refused, model


def _open(wanted: Wanted) -> "tuple[lm.Base, lm.Tokenizer, dict[str, str]]":
    from byrote import lm

    device = lm.pick_device("auto")
    if device.type == "cpu":
        lm.keep_memory()
    files = lm.resolve_base(wanted.model)
    chosen = lm.precision_of(files, "auto", device, lm.cores(), None)
    told = {"sha256": files.content, "tokenizer_sha256": files.tokenizer_content, "precision": chosen.format}
    base = lm.load_base(files, chosen.format, "none", device)
    return base, lm.load_tokenizer(files), {"name": files.name, **told}


def _writer(
    wanted: Wanted, base: "lm.Base", tokenizer: "lm.Tokenizer", listener: Listener
) -> Callable[[str, Sequence[str], int], tuple[list[str], int]]:
    """What has the base model write as many texts as are wanted, in the manner of others.

    It takes a label, the texts to write after, and 0 for the canaries themselves or 1 for prompts, which need not be
    long; it gives the texts, and how many others were drawn again.
    """
    from byrote.passes.canaries import invent

    def write(label: str, after: Sequence[str], which: int) -> tuple[list[str], int]:
        seed = wanted.seed + which
        sample = random.Random(f"examples {seed}").sample(after, min(len(after), MOST_EXAMPLES))
        token_ids = tokenizer.encode(sample, append_eos=False)
        pairs = enumerate(zip(sample, token_ids, strict=True))
        members = tuple(Record(f"{n}", MEMBERS, f"{n}", text, (), ids) for n, (text, ids) in pairs)
        plan = ManyCanaries(
            design="many",
            count=wanted.texts - wanted.references,
            references=wanted.references,
            texts="synthetic",
            temperature=_temperature(wanted),
            reserve_seed=seed,
        )
        least = 1 if which else LEAST_TOKENS
        recipe = Recipe(plan, members, frozenset(after), "", least, printable=True)
        with listener.task(label, recipe.wanted, "texts", 0.0) as advance:
            invented = invent(recipe, base.model, tokenizer, base.context, lambda n: advance(n, ""))
        return list(invented.texts), invented.refused

    return write


# --- files ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Source:
    """The data as it was read: its bytes, its rows, and what each row holds."""

    data: bytes
    table: Table
    examples: list[Example]


def _read(wanted: Wanted) -> _Source:
    """The data, of which it is known that a canary's row fits into its format."""
    data, path = read_bytes(wanted.data), wanted.data
    same_format(path.name, wanted.out.name, data)
    columns, rows = formats.parse(data, path.name, str(path), of_lines(wanted.columns))
    table = Table(str(path), formats.stem(path.name), columns, rows)
    source = _Source(data, table, examples_of(table, wanted.columns))
    trial = content_of(wanted.columns, source.examples[0].prompt, "a canary")
    _planted(wanted, source, [ManifestCanary("trial", Role.CANARY_IN, 1, trial)])
    return source


def _planted(wanted: Wanted, source: _Source, canaries: Sequence[ManifestCanary]) -> tuple[bytes, int]:
    """The bytes of the data with the planted canaries at places drawn by the seed, and its rows."""
    table = source.table
    generator = random.Random(f"places {wanted.seed}")
    planted = [(c.content, c.copies) for c in canaries if c.role is Role.CANARY_IN]
    rows = rows_of_copies(table, wanted.columns, planted, generator)
    additions: dict[int, list[Any]] = {}
    for row in rows:
        additions.setdefault(generator.randint(0, len(table.rows)), []).append(row)
    names = wanted.data.name, wanted.out.name
    return with_rows(source.data, *names, of_lines(wanted.columns), additions), len(table.rows) + len(rows)


def _write(files: Mapping[Path, tuple[bytes, int]]) -> None:
    """New files with these modes from their first byte on: all of them, or none."""
    begun: list[Path] = []
    for path, (data, mode) in files.items():
        try:
            number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            begun.append(path)
            with os.fdopen(number, "wb") as stream:
                stream.write(data)
        except OSError as error:
            for other in begun:
                other.unlink()
            raise StudyError(f"cannot write {path}: {error.strerror or error}; name another place") from None
