import pytest

from byrote.errors import ModelError
from byrote.lm import MODULES, module_names
from byrote.study import MATRICES
from fakes import LAYERS, tiny_model

FUSED = {"phi3": "qkv_proj", "gpt_neox": "query_key_value", "gpt2": "c_attn"}


def short_names(model_type: str, *matrices: str) -> list[str]:
    """Names in the first layer, from the layer on."""
    names = module_names(tiny_model(model_type), model_type, matrices)
    assert len(names) % LAYERS == 0
    return [name.partition(".0.")[2] for name in names if ".0." in name]


@pytest.mark.parametrize("model_type", MODULES)
def test_all_linear_is_every_linear_module_of_the_layers(model_type: str) -> None:
    model = tiny_model(model_type)
    linear = [n for n, m in model.named_modules() if type(m).__name__ in ("Linear", "Conv1D")]
    outside = {"lm_head", "embed_out"}
    assert module_names(model, model_type, ["all-linear"]) == [n for n in linear if n not in outside]


@pytest.mark.parametrize("model_type", MODULES)
def test_each_matrix_is_one_module_a_layer_and_none_is_shared(model_type: str) -> None:
    model = tiny_model(model_type)
    by_letter = [module_names(model, model_type, [letter]) for letter in MODULES[model_type]]
    assert {len(names) for names in by_letter} == {LAYERS}
    assert sorted(name for names in by_letter for name in names) == sorted(
        module_names(model, model_type, ["all-linear"])
    )


def test_output_projections_are_told_from_the_mlp() -> None:
    assert short_names("gpt2", "o") == ["attn.c_proj"]
    assert short_names("gpt2", "down") == ["mlp.c_proj"]
    assert short_names("gpt_neox", "o") == ["attention.dense"]
    assert short_names("phi", "o", "up") == ["self_attn.dense", "mlp.fc1"]
    assert short_names("opt", "o", "up", "down") == ["self_attn.out_proj", "fc1", "fc2"]


def test_names_stand_in_the_models_order_and_once() -> None:
    names = short_names("llama", "v", "qkv", "q")
    assert names == ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]


@pytest.mark.parametrize(("model_type", "module"), FUSED.items())
def test_qkv_is_the_fused_module_and_its_parts_are_refused(model_type: str, module: str) -> None:
    assert [name.rpartition(".")[2] for name in short_names(model_type, "qkv")] == [module]
    for part in "qkv":
        with pytest.raises(ModelError, match=f"'{part}'.*{model_type} fuses q, k and v in '{module}'; use 'qkv'"):
            short_names(model_type, part)


def test_gate_up_is_fused_in_phi3_and_both_parts_elsewhere() -> None:
    assert short_names("phi3", "gate_up") == ["mlp.gate_up_proj"]
    assert short_names("qwen3", "gate_up") == ["mlp.gate_proj", "mlp.up_proj"]
    with pytest.raises(ModelError, match="phi3 fuses gate and up in 'gate_up_proj'; use 'gate_up'"):
        short_names("phi3", "up")


@pytest.mark.parametrize("matrix", ["gate", "gate_up"])
def test_a_matrix_the_architecture_lacks(matrix: str) -> None:
    with pytest.raises(ModelError, match=f"gpt2 has no matrix '{matrix}'; it has qkv, o, up, down"):
        short_names("gpt2", matrix)


def test_an_unknown_architecture_lists_the_known() -> None:
    with pytest.raises(ModelError, match=r"'mamba'; known: llama, mistral, .*gpt2"):
        module_names(tiny_model("llama"), "mamba", ["q"])


def test_every_matrix_of_a_study_is_adapted_or_refused_everywhere() -> None:
    for model_type in MODULES:
        for matrix in MATRICES:
            try:
                assert short_names(model_type, matrix)
            except ModelError as error:
                assert model_type in str(error)  # noqa: PT017
                assert matrix in str(error)  # noqa: PT017
