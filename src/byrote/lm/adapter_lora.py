"""The settings of a given adapter as a study would write them, so that another can be tuned like it."""

from typing import Any

from byrote.errors import ModelError
from byrote.lm.adapter_files import AdapterFiles, adapted_modules, config_from, read_shapes, read_values
from byrote.lm.base import skeleton, text_config
from byrote.lm.matrices import module_names
from byrote.lm.sources import BaseFiles
from byrote.study import MATRICES, Lora


def lora_of(files: AdapterFiles, base: BaseFiles) -> Lora | str:
    """Rank, alpha, matrices, dropout and scaling from adapter_config.json; or why no study's `lora` is that adapter, in
    words that follow its name. From configurations and the weights' header alone.

    How PEFT drew the first A is left aside: it is gone after training.
    """
    if not files.plain:
        return "is no plain LoRA"
    letters = files.matrices.split(",")
    if not set(letters) <= set(MATRICES):
        return f"adapts {files.matrices}, which no setting of lora.matrices names"
    model = skeleton(base)
    try:
        whole = module_names(model, text_config(model).model_type, letters)
    except ModelError as error:
        return f"adapts {files.matrices}: {error}"
    adapted = adapted_modules(files.kind, read_shapes(files.folder, files.name))
    if set(whole) != set(adapted):
        return f"adapts {len(adapted)} of the {len(whole)} modules of {files.matrices}"
    config: Any = config_from(read_values(files.folder, files.name), files.name)
    return Lora.model_validate(
        {
            "matrices": letters,
            "rank": config.r,
            "alpha": config.lora_alpha,
            "dropout": config.lora_dropout,
            "scaling": "rslora" if config.use_rslora else "fixed",
        }
    )
