"""What a reader is told of hypotheses that the study stated."""

import dataclasses
import math

import pandas as pd

from byrote.report.hypotheses import hypotheses_grid, hypothesis_lists
from fake_report import report
from fake_tables import fake_tables

ROW = {
    **{"name": "v-above-q", "says": "v leaks more than q", "rule": "above", "attack": "ratio", "stratum": "records"},
    **{"margin": 0.02, "label": "v · rank 4", "against": "q · rank 4", "seeds": 5, "difference": 0.0312},
    **{"difference_low": 0.004, "difference_high": 0.058, "p_support": 0.08, "p_contradict": 1.0},
    **{"verdict": "undecided", "levels_off_from": "", "seeds_to_decide": 19, "family": "3 hypotheses"},
    **{"published": "0.9 against 0.8", "reason": ""},
}
OTHERS = [
    {**ROW, "name": "same", "rule": "same", "seeds_to_decide": math.nan, "published": ""},
    {**ROW, "name": "rank", "rule": "levels_off", "verdict": "supported", "levels_off_from": "v · rank 16"},
    {**ROW, "name": "few", "seeds": 0, "difference": math.nan, "reason": "4 seeds have both AUCs"},
]
TABLES = dataclasses.replace(fake_tables(("q", "v"), (4,), canaries=0), hypotheses=pd.DataFrame([ROW, *OTHERS]))


def test_each_hypothesis_is_a_sentence_with_its_verdict_and_what_would_decide_it():
    ((head, sentences),) = hypothesis_lists(TABLES)
    assert head.startswith(
        "Before the results the study stated 4 hypotheses, judged with the seed as unit, a margin of"
    )
    assert "0.02 AUC and an error of 2.5% each way for all of them together" in head
    assert sentences[0] == (
        "“v leaks more than q”: undecided; the smallest difference, v · rank 4 minus q · rank 4, is 0.031 (0.004 to "
        "0.058); 19 seeds would decide it, were spread and difference as they are now; published: 0.9 against 0.8."
    )
    assert "the largest difference" in sentences[1]
    assert "no number of seeds would decide it" in sentences[1]
    assert "within the margin of the last from v · rank 16 on" in sentences[2]
    assert "would decide" not in sentences[2]
    assert sentences[3] == "“v leaks more than q”: undecided; 4 seeds have both AUCs; published: 0.9 against 0.8."
    assert hypothesis_lists(fake_tables(("v",), (1,), canaries=0)) == []


def test_the_page_has_them_as_a_list_and_as_a_table(tmp_path):
    page = report(TABLES, tmp_path)
    assert "<li>“v leaks more than q”: undecided;" in page
    assert "Hypotheses that the study stated before the results" in page
    grid = hypotheses_grid(TABLES)
    assert [row[0] for row in grid.rows] == ["v-above-q", "same", "rank", "few"]
    assert [row[1] for row in grid.rows] == ["undecided", "undecided", "supported", "undecided"]
    assert hypotheses_grid(fake_tables(("v",), (1,), canaries=0)).rows == []
