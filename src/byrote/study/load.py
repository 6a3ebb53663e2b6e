"""A study from a path, a packaged name or a mapping (`load_study`), never half: unknown keys are errors that name the
nearest right one."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard, cast

from pydantic import ValidationError

from byrote.errors import StudyError
from byrote.study.dotted import dotted_names, set_dotted
from byrote.study.mistakes import explain_all, nearest, short
from byrote.study.paths import is_there
from byrote.study.settings import AXIS_SHORT, Study
from byrote.study.yaml12 import parse_yaml


def load_study(source: str | Path | Mapping[str, Any], overrides: Mapping[str, Any] | None = None) -> Study:
    """A study from a path, the name of a study that comes with byrote, or a mapping; `overrides` by dotted name.

    Raises StudyError with every mistake found, one a line.

    >>> load_study("demo", {"training.epochs": 3}).training.epochs
    3
    """
    if isinstance(source, Mapping):
        raw, where, folder = _copy(source), "study", None
    else:
        path = study_path(source)
        # A study that comes with byrote is called by its name: its path lies inside the package.
        where, folder = str(source if packaged_studies().get(str(source)) == path else path), path.parent
        raw = parse_yaml(_read(path), where)
        if raw is None:
            raw = dict[str, Any]()
        if not _is_dict(raw):
            raise StudyError(f"{where}: a study is a mapping of names to values, got {type(raw).__name__}")
        raw.setdefault("name", path.stem)
    for name, value in (overrides or {}).items():
        set_dotted(raw, name, value)
    raw = _settle_paths(raw, folder)
    try:
        return Study.model_validate(raw)
    except ValidationError as error:
        raise StudyError(explain_all(error, where)) from None


def parse_overrides(tokens: Sequence[str]) -> dict[str, Any]:
    """`--training.epochs 1 --grid.rank=[1,2]` as a mapping of dotted names to values (each value is YAML); `--backend`
    and `--ray.…` are short for names under machine.

    Raises StudyError for a name that no study has, naming the nearest.
    """
    overrides: dict[str, Any] = {}
    pending = list(tokens)
    known = [*dotted_names(), *(f"grid.{axis}" for axis in ("seed", *AXIS_SHORT))]
    while pending:
        token = pending.pop(0)
        if not token.startswith("--"):
            raise StudyError(f"unexpected argument {token!r}; options are written --training.epochs 1")
        name, equals, text = token[2:].partition("=")
        name = ".".join(part.replace("-", "_") for part in name.split("."))
        name = f"machine.{name}" if name.startswith("ray.") or name == "backend" else name
        if name not in known and not name.startswith("grid."):
            raise StudyError(f"unknown option --{name}{nearest(name, known)}; `byrote studies settings` lists all")
        if not equals:
            if not pending:
                raise StudyError(f"--{name} needs a value")
            text = pending.pop(0)
        overrides[name] = parse_yaml(text, f"--{name}")
    return overrides


def dump_study(study: Study) -> dict[str, Any]:
    """The study as plain values, fit for YAML, JSON and a second `load_study`. With a shadow, `training` holds what the
    study sets alone: what it leaves open is taken from the files of the subjects' trainers."""
    plain = study.model_dump(mode="json", exclude_none=False)
    if study.controls.shadow:
        plain["training"] = study.training.model_dump(mode="json", exclude_unset=True)
    return plain


def packaged_studies() -> dict[str, Path]:
    """Name → file of the studies that come with byrote."""
    folder = Path(__file__).parent.parent / "studies"
    return {p.relative_to(folder).with_suffix("").as_posix(): p for p in sorted(folder.rglob("*.yaml"))}


def first_comment(path: Path) -> str:
    """The comment that opens a study file: what it shows."""
    return next((line.lstrip("# ") for line in _read(path).splitlines() if line.startswith("#")), "")


def study_path(source: str | Path) -> Path:
    """The file of a study given by path or by the name of one that comes with byrote."""
    path = Path(source)
    if is_there(path) and path.is_file():
        return path
    named = packaged_studies()
    if str(source) in named:
        return named[str(source)]
    raise StudyError(
        f"no study {short(repr(str(source)))}: neither a file nor one of {', '.join(named)}"
        f"{nearest(str(source), list(named))}"
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"cannot read {path}: {error}") from None


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(inner) for key, inner in cast(Mapping[Any, Any], value).items()}
    return list(cast(Sequence[Any], value)) if isinstance(value, list | tuple) else value


def _is_dict(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _settle_paths(raw: dict[str, Any], folder: Path | None) -> dict[str, Any]:
    """Paths of a `files` corpus and of a manifest of canaries in a study file start at the file's folder."""
    corpus, canaries = raw.get("corpus"), raw.get("canaries")
    if folder is not None and _is_dict(corpus) and corpus.get("source") == "files":
        path = corpus.get("path")
        if path is None or _is_relative(path):
            corpus["path"] = str((folder / (path or ".")).resolve())
    if folder is not None and _is_dict(canaries) and _is_relative(canaries.get("path")):
        canaries["path"] = str((folder / canaries["path"]).resolve())
    return raw


def _is_relative(path: Any) -> TypeGuard[str]:
    return isinstance(path, str) and not Path(path).expanduser().is_absolute()
