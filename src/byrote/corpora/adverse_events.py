"""A synthetic corpus of case-report sentences on adverse drug events, in PHEE's style; no file is read.

A case (drug, patient, reaction, and their numbers) is drawn, then as many frames as the case has sentences.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from random import Random
from typing import NamedTuple, TypeVar

from byrote.corpora._vocabulary import DIED, DRUG_CLASSES, FRAMES, PHRASES, SURVIVED, SYSTEMS, DrugClass, System
from byrote.errors import CorpusError
from byrote.records import CALIBRATION, SPLITS, Record, Span
from byrote.study import AdverseEventsCorpus

# From 5000 to this size the mean length was measured to grow by 0.1 words, as short titles are used up.
LARGEST_SIZE = 100_000
# Sentences a document: PHEE's train split has 1108 documents with 2.6 sentences on average.
GROUP_SHARES = (0.25, 0.29, 0.235, 0.135, 0.055)
TRIES = 500

T = TypeVar("T")
Facts = Mapping[str, str]
Sentence = tuple[str, tuple[Span, ...]]
_TOKEN = re.compile(r"(\{\w+\}|\[\w+:|[\]<>|])")
_MEASURE = re.compile(r"(.+) (rose to|fell to|reached) ([\d.]+)-([\d.]+)(.*)")
_DRUG = re.compile(r"(.+?) ([\d./]+) (million units|\S+) (.+)")
_HAD = {"rose to": "had risen to", "fell to": "had fallen to", "reached": "had reached"}
_MOST = {"hours": 72, "days": 30, "weeks": 14, "months": 30}
_DAYS = {"days": 1, "weeks": 7, "months": 30}
_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_AN = re.compile(r"[aeio]|u(?!ni|se|re|ro)|8|11-|18-")


class Node(NamedTuple):
    """A part of a frame: literal `text`, the `name` of a fact, one of `options`, or a `span` over `options[0]`."""

    text: str = ""
    name: str = ""
    options: tuple[tuple["Node", ...], ...] = ()
    span: str = ""


def read(corpus: AdverseEventsCorpus) -> list[Record]:
    """`corpus.size` members, then as many non-members and calibration records (`corpus.limit`: the first of each).

    Texts are distinct over the corpus. A group is one case and lies in one split. Cases are written in an order that
    mixes the splits, so all three have one distribution even where short sentences start to run out.
    Raises CorpusError for a size beyond LARGEST_SIZE.
    """
    if corpus.size > LARGEST_SIZE:
        raise CorpusError(
            f"corpus.size must be at most {LARGEST_SIZE}, got {corpus.size}; more sentences would not keep their "
            f"distribution: lower corpus.size or use corpus.source files"
        )
    rng = Random(corpus.seed)
    groups = [(split, count) for split in SPLITS for count in _group_counts(corpus.size, rng)]
    written: list[list[Record]] = [[] for _ in groups]
    seen: set[str] = set()
    for g in sorted(range(len(groups)), key=[rng.random() for _ in groups].__getitem__):
        written[g] = _write_group(f"case{g:05d}", *groups[g], rng, seen)
    records = [record for group in written for record in group]
    kept = corpus.size if corpus.limit is None else min(corpus.limit, corpus.size)
    wanted = [s for s, split in enumerate(SPLITS) if split != CALIBRATION or corpus.calibration is not None]
    return [r for s in wanted for r in records[s * corpus.size : s * corpus.size + kept]]


def _group_counts(size: int, rng: Random) -> list[int]:
    counts: list[int] = []
    left = size
    while left:
        counts.append(min(left, 1 + _weighted(GROUP_SHARES, rng)))
        left -= counts[-1]
    return counts


def _write_group(group: str, split: str, count: int, rng: Random, seen: set[str]) -> list[Record]:
    facts, endings = _case(rng)
    used: set[str] = set()
    records: list[Record] = []
    for i in range(count):
        text, spans = distinct(lambda: _sentence(facts, endings, used, rng), seen)
        records.append(Record(f"{group}_{i + 1}", split, group, text, spans))
    return records


def distinct(draw: Callable[[], Sentence], seen: set[str], tries: int = TRIES) -> Sentence:
    """The first drawn sentence whose text is not in `seen`, which it joins. CorpusError after `tries` draws."""
    for _ in range(tries):
        text, spans = draw()
        if text not in seen:
            seen.add(text)
            return text, spans
    raise CorpusError(f"no new sentence in {tries} draws after {len(seen)} sentences; lower corpus.size")


def _sentence(facts: Facts, endings: Sequence[str], used: set[str], rng: Random) -> Sentence:
    """One sentence of a case, in a frame the case has not used yet, where one of the shape is left."""
    shape = _weighted(_SHARES, rng)
    pool = endings if shape == len(_POOLS) else _POOLS[shape]
    frame = _pick([f for f in pool if f not in used] or pool, rng)
    used.add(frame)
    return render(_COMPILED[frame], facts, rng)


def render(nodes: Sequence[Node], facts: Facts, rng: Random) -> Sentence:
    """A compiled frame as a text with a capital first letter, and its spans in the order of their starts."""
    parts: list[str] = []
    marks: list[tuple[str, int, int]] = []
    _expand(nodes, facts, rng, parts, marks)
    for i, part in enumerate(parts):
        if part == "{a}":
            parts[i] = "an" if _AN.match("".join(parts[i + 1 : i + 4]).lstrip()) else "a"
    starts = [0, *accumulate(map(len, parts))]
    text = "".join(parts)
    text = text[0].upper() + text[1:]
    spans = [Span(kind, starts[i], text[starts[i] : starts[j]]) for kind, i, j in marks]
    return text, tuple(sorted(spans, key=lambda span: span.start))


def _expand(
    nodes: Sequence[Node], facts: Facts, rng: Random, parts: list[str], marks: list[tuple[str, int, int]]
) -> None:
    for node in nodes:
        if node.span:
            start = len(parts)
            _expand(node.options[0], facts, rng, parts, marks)
            marks.append((node.span, start, len(parts)))
        elif node.options:
            _expand(_pick(node.options, rng), facts, rng, parts, marks)
        else:
            parts.append(node.text or facts[node.name])


def compile_frame(frame: str) -> tuple[Node, ...]:
    """A frame as nodes, its phrases put in. ValueError where brackets do not match."""
    tokens = [token for token in _TOKEN.split(frame) if token]
    options, place = _parse(tokens, 0, "")
    if place != len(tokens) or len(options) != 1:
        raise ValueError(f"brackets do not match in the frame {frame!r}")
    return options[0]


def _parse(tokens: Sequence[str], place: int, closer: str) -> tuple[tuple[tuple[Node, ...], ...], int]:
    options: list[list[Node]] = [[]]
    while place < len(tokens) and tokens[place] != closer:
        token = tokens[place]
        place += 1
        if token in (">", "]"):
            raise ValueError(f"a frame has {token!r} where it is not open: {''.join(tokens)!r}")
        if token == "|":
            options.append([])
        elif token == "<" or (token[0] == "[" and token[-1] == ":"):
            inner, place = _parse(tokens, place, ">" if token == "<" else "]")
            options[-1].append(Node(options=inner, span=token[1:-1]))
            place += 1
        elif token[0] != "{" or token == "{a}":
            options[-1].append(Node(text=token))
        elif token[1:-1] in PHRASES:
            options[-1] += compile_frame(PHRASES[token[1:-1]])
        else:
            options[-1].append(Node(name=token[1:-1]))
    return tuple(tuple(nodes) for nodes in options), place


def _case(rng: Random) -> tuple[dict[str, str], tuple[str, ...]]:
    """The facts of one case, and the frames of how it ended."""
    family, other = _pick(DRUG_CLASSES, rng), _pick(DRUG_CLASSES, rng)
    system = _pick(SYSTEMS, rng)
    drug, second, alternative = _pick(family.drugs, rng), _pick(other.drugs, rng), _pick(family.drugs, rng)
    while second == drug:
        second = _pick(_pick(DRUG_CLASSES, rng).drugs, rng)
    while alternative == drug:
        alternative = _pick(family.drugs, rng)
    facts = {
        "route": family.route,
        "drug2_name": _drug(second, rng)[0],
        "alternative_name": _drug(alternative, rng)[0],
        **_patient(family, rng),
        **_reaction(system, rng),
        **_numbers(family.short_course, rng),
    }
    facts["drug_name"], facts["amount"], facts["dose"] = _drug(drug, rng)
    facts["disorder_article"], facts["disorder_name"] = _article(_pick(family.disorders, rng))
    return facts, DIED if system.lethal and rng.random() < 0.15 else SURVIVED


def _patient(family: DrugClass, rng: Random) -> dict[str, str]:
    first, last = family.ages
    age, age2 = (int(first + (last - first + 1) * rng.random()) for _ in range(2))
    female = family.sex == "female" or rng.random() < 0.52
    person2 = _person(age2, family.sex == "female" or rng.random() < 0.5)
    words = {"he": "she", "his": "her"} if female else {"he": "he", "his": "his"}
    return {"age": str(age), "age2": str(age2), "person": _person(age, female), "person2": person2, **words}


def _person(age: int, female: bool) -> str:
    if age < 18:
        return "girl" if female else "boy"
    return "woman" if female else "man"


def _reaction(system: System, rng: Random) -> dict[str, str]:
    effect, effect2 = _two((*system.reactions, *system.plural), rng)
    what, moved, low, high, unit = _match(_MEASURE, _pick(system.measures, rng))
    decimals = len(low.partition(".")[2])
    value = f"{float(low) + (float(high) - float(low)) * rng.random():.{decimals}f}"
    facts = {"measure": what, "moved": moved, "had_moved": _HAD[moved], "value": value + unit.replace(" %", "%")}
    facts |= {"finding": _pick(system.findings, rng), "remedy": _pick(system.remedies, rng)}
    facts |= {"was": "were", "has": "have"} if effect in system.plural else {"was": "was", "has": "has"}
    facts["effect_article"], facts["effect_name"] = _article(effect)
    facts["effect2_article"], facts["effect2_name"] = _article(effect2)
    return facts


def _numbers(short_course: bool, rng: Random) -> dict[str, str]:
    spelled = rng.random() < 0.6
    unit = _pick(("days", "days", "weeks") if short_course else ("days", "days", "weeks", "weeks", "months"), rng)
    onset = _between(2, 5 if short_course and unit == "weeks" else _MOST[unit], rng)
    return {
        "onset": f"{_number(onset, spelled)} {unit}",
        "day": str(onset * _DAYS[unit] + _between(1, 12, rng)),
        "recovery": _time(("days", "weeks"), spelled, rng),
        "relapse": _time(("hours", "days"), spelled, rng),
        "follow_up": _time(("months",), spelled, rng),
        "naranjo": _WORDS[_between(5, 8, rng)],
        "year": str(_between(1962, 2008, rng)),
        "cases": _number(_between(4, 60, rng), spelled),
        "cohort": str(_between(24, 640, rng)),
        "few": _WORDS[_between(2, 9, rng)],
    }


def _time(units: Sequence[str], spelled: bool, rng: Random) -> str:
    unit = _pick(units, rng)
    return f"{_number(_between(2, _MOST[unit], rng), spelled)} {unit}"


def _number(value: int, spelled: bool) -> str:
    return _WORDS[value] if spelled and value < len(_WORDS) else str(value)


def _drug(entry: str, rng: Random) -> tuple[str, str, str]:
    """Name, amount (`50 mg`) and dose (`50 mg daily`) of an entry such as `azathioprine 50/75/100 mg daily`."""
    name, doses, unit, frequency = _match(_DRUG, entry)
    amount = f"{_pick(doses.split('/'), rng)} {unit}"
    return name, amount, f"{amount} {frequency}"


def _article(name: str) -> tuple[str, str]:
    article = next((a for a in ("a ", "an ", "the ") if name.startswith(a)), "")
    return article, name[len(article) :]


def _match(pattern: re.Pattern[str], entry: str) -> tuple[str, ...]:
    match = pattern.fullmatch(entry)
    if match is None:
        raise ValueError(f"not an entry of the vocabulary's form: {entry!r}")
    return match.groups()


def _two(items: Sequence[str], rng: Random) -> tuple[str, str]:
    first = int(rng.random() * len(items))
    second = int(rng.random() * (len(items) - 1))
    return items[first], items[second + (second >= first)]


# Of a generator, only `random()` is promised to give the same numbers in every release of Python.
def _pick(items: Sequence[T], rng: Random) -> T:
    return items[int(rng.random() * len(items))]


def _between(low: int, high: int, rng: Random) -> int:
    return low + int(rng.random() * (high - low + 1))


def _weighted(shares: Sequence[float], rng: Random) -> int:
    """An index with probability `shares[index]`; what the shares leave goes to the index after the last."""
    left = rng.random()
    for index, share in enumerate(shares):
        left -= share
        if left < 0:
            return index
    return len(shares)


_SHARES = tuple(share for share, _ in FRAMES.values())
_POOLS = tuple(frames for _, frames in FRAMES.values())
_COMPILED = {frame: compile_frame(frame) for pool in (*_POOLS, SURVIVED, DIED) for frame in pool}
