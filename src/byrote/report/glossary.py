"""What the report's terms mean, a sentence each; every section names those that it uses."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from byrote.report.page import Section, Term

TERMS: dict[str, str] = {
    "AUC": "The chance that an attack gives a random member a higher score than a random non-member: 0.5 is guessing, "
    "1 tells every pair apart.",
    "attack": "A rule that turns what a model says about a record into one number; higher means more like a member.",
    "auditor": "Somebody who knows which records are members and learns the best combination of attacks from that: an "
    "upper limit, not an attacker.",
    "base model": "The model before fine-tuning.",
    "blind classifier": "A classifier that sees the texts alone and no model: where it tells members from non-members, "
    "so may any attack, whatever was learned.",
    "calibration record": "A record kept out of training that sets an attack's threshold and nothing else.",
    "canary": "A record planted a known number of times, or left out by the same coin, so that what the model does "
    "with it can be compared.",
    "collapsed": "A trial that is worse than the base model on members and on non-members: its model is broken.",
    "control": "The same measurement where nothing was learned about these records; it should be at guessing.",
    "document": "What a record was cut from, such as a patient; intervals rest on documents, for records of one are "
    "alike.",
    "epsilon": "ε of differential privacy: the higher a lower bound on it, the more one record can be recognised in "
    "what the training gave.",
    "exposure": "How far up a canary ranks among references that were never planted, in bits; 1 bit is the average of "
    "what was not learned.",
    "false-positive rate": "The share of non-members that an attack calls members.",
    "interval": "Where the true figure lies with the stated confidence, were other documents drawn from the same "
    "source.",
    "member": "A record that the model was fine-tuned on.",
    "non-member": "A record of the same source that the model was not fine-tuned on.",
    "null trial": "An adapter tuned on calibration records alone, measured as if it had been tuned on the members.",
    "outsider": "Somebody who does not know which records are members.",
    "overfitted": "A trial that is better than the base model on members and worse on non-members.",
    "perplexity": "How many tokens the model hesitates between on average; lower is better.",
    "shadow": "A model that byrote tuned on other documents of the same corpus: a control, and what an attacker with "
    "such documents compares with.",
    "stratum": "A set of records that are compared with each other and never pooled with others.",
    "trial": "One fine-tuned model with how it came to be.",
    "true-positive rate": "The share of members that an attack finds at a stated false-positive rate.",
    "verbatim": "Said of a completion that is the rest of the record, token for token.",
}
_ALSO = {
    "epsilon": ("ε",),
    "true-positive rate": ("TPR", "tpr"),
    "false-positive rate": ("FPR", "fpr"),
    "canary": ("canaries",),
    "stratum": ("strata",),
}


def explained(sections: Sequence[Section]) -> list[Section]:
    """The sections with the terms that each uses, and a glossary of all of them at the end."""
    with_terms = [replace(section, terms=terms_in(_words_of(section))) for section in sections]
    used = {term.word for section in with_terms for term in section.terms}
    entries = [Term(word, anchor(word), TERMS[word]) for word in TERMS if word in used]
    return [*with_terms, Section("glossary", "Glossary", (), glossary=entries)] if entries else with_terms


def terms_in(texts: Iterable[str]) -> list[Term]:
    """The terms that occur in any of these texts, as a whole word or its plural, in the glossary's order."""
    whole = "\n".join(texts)
    return [Term(word, anchor(word), meaning) for word, meaning in TERMS.items() if _pattern(word).search(whole)]


def anchor(word: str) -> str:
    """Where the glossary explains a term."""
    return f"term-{word.replace(' ', '-')}"


def _pattern(word: str) -> re.Pattern[str]:
    """A member is no non-member, nor is an attacker an attack."""
    spellings = "|".join(re.escape(spelling) for spelling in (word, *_ALSO.get(word, ())))
    return re.compile(rf"(?<![\w-])(?:{spellings})s?(?![\w-])", re.IGNORECASE if word != "AUC" else 0)


def _words_of(section: Section) -> Iterable[str]:
    """What byrote says in a section: no cells of tables, which hold names of the user's."""
    yield from section.paragraphs
    yield from section.warnings
    for card in section.cards:
        yield from (card.question, card.number, card.sure, card.next)
    for grid in (*section.grids, *section.folded):
        yield from (grid.caption, grid.note, *grid.headers)
    for picture in (*section.pictures, *section.folded_pictures):
        yield from (picture.title, picture.caption)
