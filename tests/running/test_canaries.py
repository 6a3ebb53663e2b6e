"""Canaries are put into a data set; a study on it, with their manifest, gives exposure and bounds with controls."""

import json
import stat
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from byrote.corpora import formats
from byrote.corpora.canary_rows import Columns
from byrote.errors import ByroteError, CorpusError, StudyError
from byrote.lm import load_tokenizer, resolve_base
from byrote.passes.canaries import NEW_WORDS, with_new_tokens
from byrote.planting.manifest import Manifest, read_manifest
from byrote.records import CANARIES, MEMBERS, Role
from byrote.running import pipeline
from byrote.running.canaries import Made, Wanted, make_canaries
from byrote.running.checks import check_study
from byrote.running.planning import prepare
from byrote.statistics.one_run import largest_showable
from byrote.store import Run
from byrote.study import load_study
from byrote.study.grid import key_of, roles_key
from byrote.study.settings import ManifestCanaries
from byrote.tables import build
from fakes import TEXTS

COUNT, REFERENCES = 14, 5


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty rows of members with ids, patients and an age, in a file that the group may read."""
    path = tmp_path_factory.mktemp("data") / "train.jsonl"
    rows = [
        {"id": i, "patient": f"p{i // 2}", "text": f"{TEXTS[i % 10][:-1]}, train {i}.", "age": 20 + i}
        for i in range(30)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    path.chmod(0o640)
    return path


def wanted(data: Path, folder: Path, model: Path, **changes: Any) -> Wanted:
    plain: dict[str, Any] = {
        "data": data,
        "out": folder / "with.jsonl",
        "columns": Columns(text="text", id="id", group="patient"),
        "count": COUNT,
        "copies": (1, 3),
        "references": REFERENCES,
        "seed": 11,
        "model": str(model),
    }
    return Wanted(**(plain | changes))


@pytest.fixture(scope="module")
def made(data: Path, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_canaries(wanted(data, tmp_path_factory.mktemp("made"), tiny_folder))


def rows_of(path: Path) -> list[Any]:
    return list(formats.parse(path.read_bytes(), path.name, path.name, "text")[1])


def planted(manifest: Manifest) -> dict[str, int]:
    """Text → copies of the canaries that are in."""
    return {str(c.content["text"]): c.copies for c in manifest.canaries if c.role is Role.CANARY_IN}


def test_each_canary_is_in_or_out_by_the_manifest_and_the_other_rows_are_unchanged(made: Made, data: Path) -> None:
    manifest, _ = read_manifest(made.manifest_path)
    assert manifest == made.manifest
    lines = made.out.read_text().splitlines()
    old = data.read_text().splitlines()
    assert [line for line in lines if line in set(old)] == old
    new = [json.loads(line) for line in lines if line not in set(old)]
    assert Counter(row["text"] for row in new) == planted(manifest)
    assert made.rows == (30, len(lines)) == (30, 30 + sum(planted(manifest).values()))
    roles = Counter((c.role, c.copies) for c in manifest.canaries)
    assert roles[Role.REFERENCE, 0] == REFERENCES
    for showable in made.showable:
        assert showable.planted == roles[Role.CANARY_IN, showable.copies]
        assert showable.left_out == roles[Role.CANARY_OUT, showable.copies]
        assert showable.planted + showable.left_out == COUNT
        assert showable.epsilon == largest_showable(COUNT, COUNT, made.delta, made.level / 2) > 0
    assert len({row["id"] for row in new} | set(range(30))) == 30 + len(new)
    of_patient = Counter(row["patient"] for row in new)
    assert sorted(of_patient.values()) == sorted(planted(manifest).values())
    assert not set(of_patient) & {f"p{i}" for i in range(15)}
    assert all(c.content["text"].isprintable() for c in manifest.canaries)


def test_files_are_for_their_owner_and_say_what_they_are_of(made: Made, data: Path) -> None:
    assert stat.S_IMODE(made.manifest_path.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.out.stat().st_mode) & ~0o640 == 0  # as the data, less what the umask takes
    manifest = made.manifest
    assert manifest.data == {"name": "train.jsonl", "sha256": sha256(data.read_bytes()).hexdigest(), "rows": 30}
    assert manifest.planted["sha256"] == sha256(made.out.read_bytes()).hexdigest()


def test_the_same_seed_gives_the_same_bytes(made: Made, data: Path, tiny_folder: Path, tmp_path: Path) -> None:
    again = make_canaries(wanted(data, tmp_path, tiny_folder))
    assert again.out.read_bytes() == made.out.read_bytes()
    assert again.manifest_path.read_bytes() == made.manifest_path.read_bytes()
    other = make_canaries(wanted(data, tmp_path, tiny_folder, out=tmp_path / "other.jsonl", seed=12))
    assert not planted(other.manifest).keys() & planted(made.manifest).keys()


def test_new_token_canaries_end_in_words_that_the_data_has_not(data: Path, tiny_folder: Path, tmp_path: Path) -> None:
    """A word's last token is in no record, by the tokenizer itself."""
    made = make_canaries(wanted(data, tmp_path, tiny_folder, kind="new-token"))
    tokenizer = load_tokenizer(resolve_base(str(tiny_folder)))
    texts = [row["text"] for row in rows_of(data)]
    used = {token for ids in tokenizer.encode(texts, append_eos=False) for token in ids}
    for canary in made.manifest.canaries:
        words = str(canary.content["text"]).split(" ")[-NEW_WORDS:]
        assert len(set(words)) == NEW_WORDS
        for ids in tokenizer.encode([f"a {word}" for word in words], append_eos=False):
            assert set(ids) - used
    every = [tokenizer.decode([token]) for token in range(tokenizer.size)]
    with pytest.raises(StudyError, match=r"uses all but \d of the words .* takes 8; write canaries of another --kind"):
        with_new_tokens(["one text"], every, tokenizer, 0)


def test_high_temperature_canaries_are_other_texts(made: Made, data: Path, tiny_folder: Path, tmp_path: Path) -> None:
    hot = make_canaries(wanted(data, tmp_path, tiny_folder, kind="high-temperature"))
    assert (hot.manifest.temperature, made.manifest.temperature) == (1.5, 1.2)
    assert planted(hot.manifest).keys() != planted(made.manifest).keys()


@pytest.mark.parametrize("shape", ["messages", "pairs", "shared"])
def test_canaries_are_answers_in_conversations(shape: str, data: Path, tiny_folder: Path, tmp_path: Path) -> None:
    texts = [row["text"] for row in rows_of(data)]
    asked = ["Summarise the note." if shape == "shared" else f"What of {text}" for text in texts]
    rows: list[dict[str, Any]] = [
        {"prompt": prompt, "completion": text} for prompt, text in zip(asked, texts, strict=True)
    ]
    columns = Columns(prompt="prompt", completion="completion")
    if shape == "messages":
        columns = Columns(messages="messages")
        turns = [(("user", row["prompt"]), ("assistant", row["completion"])) for row in rows]
        rows = [{"messages": [{"role": role, "content": said} for role, said in two]} for two in turns]
    (tmp_path / "chat.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    changes = {"columns": columns, "copies": (2,), "references": 0}
    made = make_canaries(wanted(tmp_path / "chat.jsonl", tmp_path, tiny_folder, **changes))
    contents = [c.content for c in made.manifest.canaries if c.role is Role.CANARY_IN]
    new = [row for row in rows_of(made.out) if row not in rows]
    assert sorted(map(json.dumps, new)) == sorted(map(json.dumps, contents * 2))
    if shape == "messages":
        assert all([turn["role"] for turn in row["messages"]] == ["user", "assistant"] for row in new)
        prompts = {row["messages"][0]["content"] for row in new}
    else:
        prompts = {row["prompt"] for row in new}
    assert prompts & set(asked) == ({"Summarise the note."} if shape == "shared" else set())


# --- a study ----------------------------------------------------------------------------------------------------


def raw_study(tiny_study: dict, made: Made, **changes: Any) -> dict[str, Any]:
    corpus = {**tiny_study["corpus"], "members": str(made.out), "group": None, "id": None}
    canaries = {"design": "manifest", "path": str(made.manifest_path)}
    small = {"grid": {"matrices": [["v"]], "rank": [2]}, "statistics": {"bootstrap": 100}}
    return {**tiny_study, **small, "corpus": corpus, "canaries": canaries, **changes}


@pytest.mark.slow
def test_a_run_on_the_file_gives_exposure_and_bounds_with_their_controls(
    made: Made, tiny_study: dict, tmp_path: Path
) -> None:
    raw = raw_study(tiny_study, made)
    study = tmp_path / "study.yaml"
    # From the study's own folder, as the corpus' files are.
    (tmp_path / "manifest.json").write_bytes(made.manifest_path.read_bytes())
    raw["canaries"]["path"] = "manifest.json"
    study.write_text(yaml.safe_dump(raw))
    prepared = prepare(load_study(study))
    (trial,) = prepared.planned
    trained = Counter(trial.training_ids)
    ids = load_tokenizer(prepared.files).encode([row["text"] for row in rows_of(made.out)], append_eos=False)
    assert trained == Counter(ids)  # the file's rows as they stand
    assert not pipeline.run(study, tmp_path / "run").failures
    run = Run.open(tmp_path / "run")
    assert {r.record for r in run.records() if r.split == CANARIES} == {c.name for c in made.manifest.canaries}
    assert sum(r.split == MEMBERS for r in run.records()) == 30
    tables = build(run)
    rows = tables.canaries
    expected = Counter((c.role.value, c.copies) for c in made.manifest.canaries if c.role is not Role.REFERENCE)
    assert Counter(zip(rows["role"], rows["copies"], strict=True)) == expected
    assert set(rows["references"]) == {REFERENCES}
    assert rows["exposure_rank"].notna().all()
    assert list(tables.audits["copies"]) == [1, 3]
    assert list(tables.audits["canaries"]) == [COUNT, COUNT]
    assert tables.audits["epsilon_low"].notna().all()
    assert tables.audits["null_epsilon"].notna().all()
    assert set(tables.audits["family"]) == {"2 bounds"}
    assert {"records", "canaries@1", "canaries@3"} == set(tables.membership["stratum"])
    assert {"canary_in", "canary_out"} <= set(tables.extraction["role"])
    page = (tmp_path / "run" / "report.html").read_text()
    assert "each planted or left out by a fair coin" in page
    assert run.study().canaries == ManifestCanaries(
        design="manifest",
        path=str(tmp_path / "manifest.json"),
        sha256=check_study(load_study(study)).study.canaries.sha256,
    )
    (finding,) = [f for f in run.plan()["findings"] if f["kind"] == "planted"]
    assert f"{made.rows[1] - 30} rows of the members are copies of" in finding["message"]
    assert not [f for f in run.plan()["findings"] if f["kind"] == "repeated_texts.members"]


@pytest.mark.usefixtures("one_figure")
@pytest.mark.slow
def test_a_subject_that_is_given_has_the_tables_of_the_run_that_trained_it(
    made: Made, tiny_study: dict, tmp_path: Path
) -> None:
    raw = raw_study(tiny_study, made)
    assert not pipeline.run(load_study(raw), tmp_path / "run").failures
    trained = Run.open(tmp_path / "run")
    adapter = tmp_path / "run" / trained.plan()["trials"][0]["finetune"] / "adapter"
    given = {name: part for name, part in raw.items() if name not in ("grid", "training")}
    given |= {"subjects": [{"adapter": str(adapter), "name": "theirs"}]}
    assert not pipeline.run(load_study(given), tmp_path / "given").failures
    own, theirs = build(trained), build(Run.open(tmp_path / "given"))
    for name in ("canaries", "audits", "membership"):
        before, after = (getattr(tables, name).drop(columns=["trial"]) for tables in (own, theirs))
        same = [c for c in before if c not in ("matrices", "rank", "seed")]
        pd.testing.assert_frame_equal(before[same], after[same])


def test_the_key_of_roles_holds_the_manifest_and_not_its_path() -> None:
    def key(path: str, digest: str) -> str:
        return roles_key("records", ManifestCanaries(design="manifest", path=path, sha256=digest))

    assert key("a", "1") == key("b", "1") != key("a", "2")
    assert key("a", "1") == key_of("roles", 1, "records", {"design": "manifest", "sha256": "1"})
    with pytest.raises(ValueError, match="settled before"):
        roles_key("records", ManifestCanaries(design="manifest", path="a"))


def edited(made: Made, folder: Path) -> dict[str, str]:
    raw = json.loads(made.manifest_path.read_text())
    raw["canaries"][0]["copies"] = 2
    (folder / "edited.json").write_text(json.dumps(raw))
    return {"canaries.path": str(folder / "edited.json")}


def other_digest(made: Made, folder: Path) -> dict[str, str]:  # noqa: ARG001
    return {"canaries.sha256": "0" * 64}


def lost(made: Made, folder: Path) -> dict[str, str]:
    text = next(iter(planted(made.manifest)))
    lines = [line for line in made.out.read_text().splitlines() if json.loads(line)["text"] != text]
    (folder / "lost.jsonl").write_text("\n".join(lines))
    return {"corpus.members": str(folder / "lost.jsonl")}


def put_in(made: Made, folder: Path) -> dict[str, str]:
    out = next(c for c in made.manifest.canaries if c.role is Role.CANARY_OUT)
    (folder / "more.jsonl").write_text(made.out.read_text() + json.dumps(out.content) + "\n")
    return {"corpus.members": str(folder / "more.jsonl")}


def as_nonmembers(made: Made, folder: Path) -> dict[str, str]:
    contents = [json.dumps(c.content) for c in made.manifest.canaries if c.role is Role.CANARY_OUT]
    (folder / "out.jsonl").write_text("\n".join(contents))
    return {"corpus.nonmembers": str(folder / "out.jsonl")}


def other_column(made: Made, folder: Path) -> dict[str, Any]:
    texts = {"members": [row["text"] for row in rows_of(made.out)], "nonmembers": list(TEXTS)}
    for split, of_split in texts.items():
        (folder / f"{split}.jsonl").write_text("\n".join(json.dumps({"body": text}) for text in of_split))
    files = {f"corpus.{split}": str(folder / f"{split}.jsonl") for split in texts}
    return {**files, "corpus.calibration": None, "corpus.text": "body"}


def cut(made: Made, folder: Path) -> dict[str, Any]:  # noqa: ARG001
    return {"corpus.limit": 12}


def too_many_guesses(made: Made, folder: Path) -> dict[str, Any]:  # noqa: ARG001
    return {"audit.guesses": COUNT + 2}


def unknown_stratum(made: Made, folder: Path) -> dict[str, Any]:  # noqa: ARG001
    return {"claims.stratum": "canaries@2"}


def in_the_grid(made: Made, folder: Path) -> dict[str, Any]:  # noqa: ARG001
    return {"grid.canaries.path": [str(made.manifest_path), "other.json"]}


MISTAKES = {
    edited: "was edited: its digest does not fit",
    other_digest: r"not 00000000.*canaries\.sha256",
    lost: r"does not hold 1 of the planted canaries as often .* \(0 of ",
    put_in: "has 1 canaries that the manifest left out: canary",
    as_nonmembers: r"canaries of the manifest are in splits that nothing is trained on: canary\d+ \(nonmembers\)",
    other_column: r"with\.manifest\.json: no column 'body' \(corpus\.text\); it has text",
    cut: r"does not hold .*corpus\.limit cut the file",
    too_many_guesses: f"audit.guesses is {COUNT + 2}, but at most {COUNT}",
    unknown_stratum: "claims.stratum 'canaries@2' is not in this study; .* records, canaries@1, canaries@3",
    in_the_grid: "leave canaries out of the grid",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_manifest_that_does_not_fit_is_one_line(mistake: Any, made: Made, tiny_study: dict, tmp_path: Path) -> None:
    study = raw_study(tiny_study, made)
    with pytest.raises(ByroteError, match=MISTAKES[mistake]) as error:
        check_study(load_study(study, mistake(made, tmp_path)))
    assert "\n" not in str(error.value)
    assert not [text for text in planted(made.manifest) if text in str(error.value)]


def test_claims_may_be_about_canaries_of_the_manifest(made: Made, tiny_study: dict) -> None:
    changes = {"claims.stratum": "canaries@3", "audit.guesses": COUNT}
    check_study(load_study(raw_study(tiny_study, made), changes))


# --- what is refused before a model is opened -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"count": 4}, "--count 4 canaries of each .* can show no ε above 0.* it takes at least 6"),
        ({"count": 1}, "can show no ε above 0"),
        ({"copies": ()}, "--copies must be different numbers"),
        ({"copies": (0, 1)}, "--copies must be different numbers .* got '0,1'"),
        ({"copies": (2, 2)}, "--copies must be different numbers"),
        ({"references": -1}, "--references must be at least 0"),
        ({"temperature": 0.0}, "--temperature must be above 0, got 0"),
        ({"seed": -1}, "--seed must be at least 0"),
        ({"kind": "natural"}, "--kind must be one of synthetic, new-token, high-temperature, got 'natural'"),
        ({"columns": Columns(text="body")}, r"no column 'body' \(--text\)"),
    ],
)
def test_wrong_wishes_are_one_line(
    changes: dict[str, Any], words: str, data: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ByroteError, match=words) as error:
        make_canaries(wanted(data, tmp_path, tiny_folder, **changes))
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_there_or_cannot_be_are_refused(data: Path, tiny_folder: Path, tmp_path: Path) -> None:
    there = tmp_path / "there.jsonl"
    there.write_text("mine")
    cases = [
        (wanted(data, tmp_path, Path("/nowhere/model")), "no such folder: '/nowhere/model'"),
        (wanted(data, tmp_path, tiny_folder, out=there), r"there\.jsonl already exists; .* --out"),
        (wanted(data, tmp_path, tiny_folder, manifest=there), r"there\.jsonl already exists; .* --manifest"),
        (wanted(data, tmp_path / "none", tiny_folder), "there is no folder .*none; make it first"),
        (wanted(data, Path("/proc"), tiny_folder), "cannot write /proc/with.jsonl: .* name another folder with --out"),
        (wanted(data, tmp_path, tiny_folder, out=tmp_path / "with.csv"), r"with\.csv does not end in \.jsonl"),
        (wanted(tmp_path / "no.jsonl", tmp_path, tiny_folder), r"no file .*no\.jsonl"),
    ]
    for wish, words in cases:
        with pytest.raises(ByroteError, match=words):
            make_canaries(wish)
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n")
    with pytest.raises(CorpusError, match=r"empty\.jsonl has no rows"):
        make_canaries(wanted(empty, tmp_path, tiny_folder))
    whole = tmp_path / "numbers.parquet"
    pq.write_table(pa.table({"text": ["a text", "b text"], "id": pa.array([126, 127], pa.int8())}), whole)
    full = wanted(whole, tmp_path, tiny_folder, out=tmp_path / "with.parquet", columns=Columns(text="text", id="id"))
    with pytest.raises(CorpusError, match="a canary's row does not fit the file's types"):
        make_canaries(full)
    assert there.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty.jsonl", "numbers.parquet", "there.jsonl"]
