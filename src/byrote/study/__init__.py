"""What a study says: its settings, how they are read, and the trials of its grid."""

from byrote.study.dotted import dotted_names
from byrote.study.load import dump_study, load_study, packaged_studies, parse_overrides, study_path
from byrote.study.settings import (
    MATRICES,
    AdverseEventsCorpus,
    Canaries,
    Corpus,
    CorpusPart,
    Extraction,
    FilesCorpus,
    HubCorpus,
    Lora,
    Machine,
    ManyCanaries,
    NoCanaries,
    PheeCorpus,
    SingleCanary,
    Study,
    Training,
    Untargeted,
)

__all__ = [
    "MATRICES",
    "AdverseEventsCorpus",
    "Canaries",
    "Corpus",
    "CorpusPart",
    "Extraction",
    "FilesCorpus",
    "HubCorpus",
    "Lora",
    "Machine",
    "ManyCanaries",
    "NoCanaries",
    "PheeCorpus",
    "SingleCanary",
    "Study",
    "Training",
    "Untargeted",
    "dotted_names",
    "dump_study",
    "load_study",
    "packaged_studies",
    "parse_overrides",
    "study_path",
]
