"""Studies are strict, and every mistake names the key, the value and the nearest right one."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from byrote.errors import StudyError
from byrote.figures import PUBLISHED
from byrote.study import (
    dump_study,
    load_study,
    packaged_studies,
    parse_overrides,
)
from byrote.study.dotted import dotted_names
from byrote.study.grid import trials_of
from byrote.study.load import first_comment
from byrote.study.yaml12 import parse_yaml
from fake_studies import invented

NAMED = [
    "demo",
    "paper/figure-3.3",
    "paper/figure-3.6",
    "paper/gpt2-copies",
    "paper/table-3.1",
    "paper/table-a.1",
    "small/copies",
    "small/placement",
    "small/rank",
]


def test_the_studies_that_come_with_byrote():
    assert set(NAMED) <= set(packaged_studies())


@pytest.mark.parametrize("name", sorted(packaged_studies()))
def test_each_packaged_study_is_whole_and_runs_on_the_embedded_model(name: str):
    study = load_study(name, {"model.source": "smollm2-135m"})
    assert study.model.source == "smollm2-135m"
    assert trials_of(study)
    assert len(first_comment(packaged_studies()[name])) > 20


def test_the_paper_table_has_its_fifteen_cells_and_settings():
    study = load_study("paper/table-3.1")
    cells = {(t.matrices, t.lora.rank) for t in trials_of(study)}
    assert cells == {(m, r) for m in ("q", "k", "v", "o", "q,k") for r in (1, 2, 4)}
    assert (study.lora.alpha, study.lora.dropout, study.training.learning_rate) == (16, 0.05, 1e-3)
    assert (study.training.epochs, study.training.effective_batch, study.training.warmup_steps) == (3, 64, 100)


@pytest.mark.parametrize(
    ("text", "value"), [("1e-3", 1e-3), ("1E5", 1e5), (".5", 0.5), ("no", "no"), ("on", "on"), ("true", True), ("7", 7)]
)
def test_yaml_scalars_are_those_of_yaml_1_2(text: str, value: object):
    parsed = parse_yaml(text, "here")
    assert parsed == value
    assert type(parsed) is type(value)


def test_a_key_given_twice_is_an_error_with_its_line():
    with pytest.raises(StudyError, match=r"here, line 2: .*'rank' occurs twice"):
        parse_yaml("rank: 1\nrank: 2\n", "here")


TENS = "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(9))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"a: &a [x,x,x,x,x,x,x,x,x,x]\n{TENS}", "more than 100,000 values, aliases counted"),
        ("a: &a [*a]", "an alias holds itself"),
        ("[" * 5000, "nested too deeply"),
        ("? [a]\n: b", "line 1: not valid YAML: a key must be a word"),
        ("a: " + "9" * 5000, "not valid YAML: Exceeds the limit"),
        ("a: \x00", "special characters are not allowed"),
    ],
)
def test_yaml_made_to_break_its_reader_is_one_line(text: str, message: str):
    with pytest.raises(StudyError, match=message) as refused:
        parse_yaml(text, "here")
    assert "\n" not in str(refused.value)


def test_an_alias_that_repeats_a_little_is_read():
    assert parse_yaml("a: &x [1, 2]\nb: *x", "here") == {"a": [1, 2], "b": [1, 2]}


def test_a_value_of_a_megabyte_is_not_printed_whole():
    for setting in ("training.epochs", "membership.attacks", "decide.max_tpr_at_fpr", "corpus.source"):
        with pytest.raises(StudyError) as refused:
            load_study("demo", {setting: "x" * 1_000_000})
        assert len(str(refused.value)) < 1000
    with pytest.raises(StudyError, match=r"no study 'x+… \(1,000,002 characters\)"):
        load_study("x" * 1_000_000)


def test_broken_yaml_names_file_and_line(tmp_path: Path):
    path = tmp_path / "broken.yaml"
    path.write_text("lora:\n  rank: [1\ntraining: {}\n")
    with pytest.raises(StudyError, match=r"broken\.yaml, line \d+: not valid YAML"):
        load_study(path)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"lora": {"rnk": 1}}, ["lora.rnk", "did you mean 'lora.rank'"]),
        ({"trainng": {}}, ["'trainng'", "'training'"]),
        ({"lora": {"rank": 0}}, ["lora.rank", "got 0"]),
        ({"lora": {"matrices": ["vv"]}}, ["lora.matrices[0]", "'vv'"]),
        ({"lora": {"matrices": ["v", "v"]}}, ["lora.matrices", "once"]),
        ({"corpus": {"source": "phe"}}, ["corpus.source", "'phe'", "did you mean 'phee'"]),
        ({"corpus": {"source": "phee", "size": 3}}, ["corpus.size", "'phee'"]),
        ({"canaries": {"copies": 3}}, ["canaries.design", "single", "many"]),
        ({"grid": {"corpus.limit": [1]}}, ["corpus.limit", "cannot vary"]),
        ({"grid": {"rank": []}}, ["'rank' is empty"]),
        ({"grid": {"rank": [1], "lora.rank": [2]}}, ["'lora.rank' is given twice"]),
        ({"training": {"learning_rate": float("nan")}}, ["training.learning_rate"]),
        ({"corpus": {"source": ["a"]}}, ["corpus.source must be one of phee, files, hub, adverse_events, got ['a']"]),
        ({"corpus": "files"}, ["corpus must be a mapping", "'files'"]),
        ({"corpus": {"limit": 5}}, ["corpus.source is required; it is one of phee, files, hub, adverse_events"]),
        ({"lora": 5}, ["lora must be a mapping", "got 5"]),
        ({"extraction": {"prompts": {"canaries": "some"}}}, ["prompts.canaries", "'all' or a valid integer", "'some'"]),
        ({"extraction": {"prompts": {"canaries": -1}}}, ["prompts.canaries", "greater than or equal to 0", "-1"]),
        ({"training": {"warmup_steps": "x"}}, ["training.warmup_steps", "got 'x'"]),
        ({"training": {"warmup_steps": 1.0}}, ["training.warmup_steps: 1.0", "(such as 1)", "between 0 and 1"]),
        ({"training": {"warmup_steps": 0.0}}, ["training.warmup_steps: 0.0", "(such as 0)"]),
        ({"training": {"warmup_steps": -1}}, ["training.warmup_steps: -1", "0 for no warm-up"]),
        ({"report": {"compare_to": "table-3"}}, ["report.compare_to", "did you mean 'table-3.1'"]),
        ({"corpus": {"source": "adverse_events", "text": "body"}}, ["corpus.text", "'context'", "got 'body'"]),
        ({"corpus": {"source": "files", "members": "a"}}, ["corpus.nonmembers is required"]),
    ],
)
def test_mistakes_are_named(raw: dict, words: list[str]):
    with pytest.raises(StudyError) as error:
        invented(raw)
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_an_unknown_study_names_the_nearest():
    with pytest.raises(StudyError, match="did you mean 'demo'"):
        load_study("dmo")


def test_overrides_are_yaml_under_dotted_names():
    tokens = ["--training.epochs", "1", "--grid.rank=[1, 2]", "--model.source", "x", "--training.learning-rate", "1e-3"]
    assert parse_overrides(tokens) == {
        "training.epochs": 1,
        "grid.rank": [1, 2],
        "model.source": "x",
        "training.learning_rate": 1e-3,
    }


@pytest.mark.parametrize(
    ("tokens", "word"),
    [
        (["--training.epoch", "1"], "did you mean 'training.epochs'"),
        (["--epochs", "1"], "did you mean 'training.epochs'"),
        (["--training.epochs"], "needs a value"),
        (["stray"], "unexpected argument 'stray'"),
    ],
)
def test_wrong_options_are_named(tokens: list[str], word: str):
    with pytest.raises(StudyError, match=word):
        parse_overrides(tokens)


def test_an_override_replaces_an_axis_under_either_name():
    study = invented(
        {"grid": {"rank": [1], "lora.matrices": [["q"]]}}, {"grid.lora.rank": [8], "grid.matrices": [["v"]]}
    )
    assert study.grid == {"lora.rank": [8], "lora.matrices": [["v"]]}


def test_changing_the_source_of_a_corpus_keeps_only_what_all_have():
    study = load_study("paper/table-3.1", {"corpus.limit": 7, "corpus.source": "adverse_events"})
    assert (study.corpus.source, study.corpus.limit) == ("adverse_events", 7)
    assert load_study("demo", {"corpus.source": "phee"}).corpus.source == "phee"


def test_a_resolved_study_reads_back_the_same(tmp_path: Path):
    study = load_study("paper/table-a.1")
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump({**dump_study(study), "provenance": {"device": "a processor"}}))
    again = load_study(path)
    assert again.model_copy(update={"provenance": None}) == study


def test_relative_files_start_at_the_study_file(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text("corpus: {source: files, members: a.jsonl, nonmembers: b.jsonl}\n")
    assert load_study(path).corpus.path == str(tmp_path.resolve())  # type: ignore[union-attr]
    assert load_study(path).name == "mine"


@pytest.mark.parametrize("name", sorted(dotted_names()))
def test_every_setting_has_a_meaning(name: str):
    assert len(dotted_names()[name].meaning) > 3


def test_settings_say_their_defaults_by_variant():
    settings = dotted_names()
    words = {
        "training.learning_rate": "0.001",
        "lora.matrices": "[v]",
        "model.revision": "null",
        "controls.null_trial": "none",
        "corpus.source": "required",
        "corpus.members": "train (phee, hub, adverse_events); required (files)",
        "corpus.path": "null (phee, files); required (hub)",
        "canaries.design": "none",
        "canaries.copies": "1 (single); [1, 2, 4, 8, 16, 32, 64, 128] (many)",
    }
    assert {name: settings[name].default_words for name in words} == words
    assert {name for name, s in settings.items() if "required" in s.default_words} == {
        "canaries.path", "corpus.source", "corpus.members", "corpus.nonmembers", "corpus.path",
    }  # fmt: skip
    assert not any(name.startswith("provenance") for name in settings)


def test_the_published_figures_that_a_study_may_name_are_those_there_are():
    for name in PUBLISHED:
        assert invented({"report": {"compare_to": name}}).report.compare_to == name
    assert dotted_names()["report.compare_to"].meaning.endswith(" or ".join(PUBLISHED))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("corpus: {source: phee}\nlora: {rnk: 1}\n", "demo: unknown key 'lora.rnk'"),
        ("lora: [\n", "demo, line 2: not valid YAML"),
    ],
)
def test_a_packaged_study_is_called_by_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, words: str):
    (tmp_path / "demo.yaml").write_text(text)
    monkeypatch.setattr("byrote.study.load.packaged_studies", lambda: {"demo": tmp_path / "demo.yaml"})
    with pytest.raises(StudyError) as error:
        load_study("demo")
    assert str(error.value).startswith(words)


def test_studies_of_the_paper_warm_up_as_it_did_and_the_default_is_a_tenth():
    assert dotted_names()["training.warmup_steps"].default == 0.1
    paper = [load_study(name).training.warmup_steps for name in packaged_studies() if name.startswith("paper/")]
    assert paper == [100] * 5


def test_a_study_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        invented().seed = 3  # type: ignore[misc]


def test_a_list_in_the_place_of_a_source_is_one_plain_line_on_the_command_line_too():
    with pytest.raises(StudyError, match=r"^demo: corpus.source must be one of .*, got \['a'\]$"):
        load_study("demo", {"corpus.source": ["a"]})


@pytest.mark.parametrize("written", ["0.01=0.05, 0.1=0.2", {0.01: 0.05, "0.1": 0.2}])
def test_true_positive_rates_are_written_as_pairs_or_as_a_mapping(written: Any):
    study = invented({"decide": {"max_tpr_at_fpr": written}})
    assert study.decide.max_tpr_at_fpr == {0.01: 0.05, 0.1: 0.2}
    assert load_study(dump_study(study)).decide == study.decide


@pytest.mark.parametrize(
    ("decide", "words"),
    [
        ({"max_tpr_at_fpr": "0.01"}, "write a false-positive rate, = and the highest true-positive rate, got '0.01'"),
        ({"max_tpr_at_fpr": {0.01: 5}}, "less than or equal to 1, got 5"),
        ({"max_tpr_at_fpr": {5: 0.1}}, "less than 1, got 5"),
        ({"max_auc": 0.4}, "decide.max_auc: input should be greater than or equal to 0.5, got 0.4"),
        ({"max_verbatim": -1}, "decide.max_verbatim"),
        ({"equivalent_within": 0.5}, "decide.equivalent_within"),
        ({"max_acu": 0.6}, "did you mean 'decide.max_auc'"),
    ],
)
def test_a_wrong_limit_is_one_line(decide: dict[str, Any], words: str):
    with pytest.raises(StudyError) as error:
        invented({"decide": decide})
    assert words in str(error.value)
    assert "\n" not in str(error.value)
