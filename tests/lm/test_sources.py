import json
import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedTokenizerFast

from byrote.cache import cache_folder
from byrote.errors import ModelError
from byrote.lm import BaseFiles, Tokenizer, load_base, load_tokenizer, open_model, resolve_adapter, resolve_base
from byrote.lm.adapter_files import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from byrote.lm.files import WEIGHTS, digest
from byrote.lm.hub import ADAPTER_FILES, download
from fake_adapters import save_peft
from fakes import CONTEXT, EOS_ID, HEADS, KEY_VALUE_HEADS, LAYERS, TEXTS, WIDTH, save_tiny_model, tiny_tokenizer

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """byrote's cache in a folder of the test's own."""
    monkeypatch.setenv("BYROTE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_local_folder(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "tiny")
    files = resolve_base(str(folder))
    assert (files.name, files.folder) == ("tiny", folder)
    assert len(files.content) == len(files.tokenizer_content) == 64


def test_content_knows_weights_and_config_but_no_path(tmp_path: Path) -> None:
    first = resolve_base(str(save_tiny_model(tmp_path / "one")))
    shutil.copytree(first.folder, tmp_path / "two")
    second = resolve_base(str(tmp_path / "two"))
    assert (second.content, second.tokenizer_content) == (first.content, first.tokenizer_content)
    other = resolve_base(str(save_tiny_model(tmp_path / "three", seed=1)))
    assert other.content != first.content
    assert other.tokenizer_content == first.tokenizer_content
    (second.folder / "tokenizer_config.json").write_text("{}")
    changed = resolve_base(str(second.folder))
    assert changed.content == first.content
    assert changed.tokenizer_content != first.tokenizer_content


def without(*names: str) -> Callable[[Path], None]:
    return lambda folder: [(folder / name).unlink() for name in names] and None


def only_pickled(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")


def as_adapter(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}")


LACKS = {
    "config": (without("config.json"), "has no config.json"),
    "weights": (without(WEIGHTS), r"has no weights \(model\.safetensors or model\.safetensors\.index\.json\)"),
    "pickled": (only_pickled, r"only pickled weights \(pytorch_model\.bin\), which byrote never loads"),
    "tokenizer": (without("tokenizer.json"), r"has no tokenizer \(tokenizer\.json or tokenizer\.model\)"),
    "adapter": (as_adapter, "is an adapter, not a base model"),
}


@pytest.mark.parametrize("lack", LACKS)
def test_what_a_folder_lacks_is_named(tmp_path: Path, lack: str) -> None:
    spoil, message = LACKS[lack]
    folder = save_tiny_model(tmp_path / "tiny")
    spoil(folder)
    with pytest.raises(ModelError, match=message):
        resolve_base(str(folder))


@pytest.mark.parametrize("source", ["/no/such", "./no/such", "../no/such", "~/no/such/byrote"])
def test_no_such_folder(source: str) -> None:
    with pytest.raises(ModelError, match=f"no such folder: '{source}'"):
        resolve_base(source)


def test_no_such_file() -> None:
    with pytest.raises(ModelError, match=r"no such file: 'models/tiny\.gguf'"):
        resolve_base("models/tiny.gguf")


def test_a_revision_of_a_local_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"model\.revision 'main' is for hub ids"):
        resolve_base(str(save_tiny_model(tmp_path)), "main")


def test_large_files_are_hashed_once(tmp_path: Path, cache: Path) -> None:
    large, small = tmp_path / "large", tmp_path / "small"
    large.write_bytes(bytes(17 * 2**20))
    small.write_bytes(b"small")
    first = digest(large)
    digest(small)
    (kept,) = (cache / "digests").iterdir()
    assert kept.read_text() == first
    kept.write_text("kept")
    assert digest(large) == "kept"
    os.utime(large, ns=(1, 1))
    assert digest(large) == first


def test_the_cache_is_the_users_unless_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() == cache
    monkeypatch.delenv("BYROTE_CACHE")
    assert "byrote" in cache_folder().parts


# --- GGUF ---


def write_gguf(path: Path, model_folder: Path) -> Path:
    """The tiny Llama as llama.cpp's converter writes it: its names, and rotary pairs side by side in q and k."""
    weights = {name: tensor.numpy() for name, tensor in load_file(model_folder / WEIGHTS).items()}
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(64)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_VALUE_HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-6)
    _add_tokenizer(writer)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, LAYERS)
    for name, value in weights.items():
        heads = {"q_proj.weight": HEADS, "k_proj.weight": KEY_VALUE_HEADS}.get(".".join(name.split(".")[-2:]))
        own = names.get_name(name, try_suffixes=(".weight",))
        assert own is not None
        writer.add_tensor(own, value if heads is None else _pairs_side_by_side(value, heads))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_tokenizer(writer: gguf.GGUFWriter) -> None:
    inner = json.loads(tiny_tokenizer().backend_tokenizer.to_str())
    tokens = sorted(inner["model"]["vocab"], key=inner["model"]["vocab"].get)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    kinds = gguf.TokenType
    writer.add_token_types([kinds.CONTROL if i == EOS_ID else kinds.NORMAL for i in range(len(tokens))])
    writer.add_token_merges([" ".join(pair) for pair in inner["model"]["merges"]])
    writer.add_eos_token_id(EOS_ID)
    writer.add_add_bos_token(False)


def _pairs_side_by_side(value: np.ndarray, heads: int) -> np.ndarray:
    rows, columns = value.shape
    return value.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


@pytest.fixture
def tiny_gguf(tmp_path: Path) -> tuple[Path, BaseFiles]:
    """A GGUF file, and the model it was written from."""
    original = resolve_base(str(save_tiny_model(tmp_path / "tiny")))
    return write_gguf(tmp_path / "tiny-f32.gguf", original.folder), original


def test_a_gguf_file_is_the_model_it_was_written_from(tiny_gguf: tuple[Path, BaseFiles]) -> None:
    path, original = tiny_gguf
    converted = resolve_base(str(path))
    assert converted.name == "tiny-f32"
    texts = [text for text in TEXTS if not any(letter.isdigit() for letter in text)]
    ids = [load_tokenizer(files).encode(texts, append_eos=True) for files in (original, converted)]
    assert ids[0] == ids[1]
    row = torch.tensor(ids[0][:1])
    with torch.no_grad():
        base = load_base(original, "fp32", "none", CPU)
        subject = open_model(converted, base, "fp32", "none", CPU)
        theirs, ours = (opened.model(input_ids=row).logits for opened in (base, subject))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_digits_are_split_off_as_the_gguf_file_says(tiny_gguf: tuple[Path, BaseFiles]) -> None:
    tokenizer = load_tokenizer(resolve_base(str(tiny_gguf[0])))
    (apart,) = tokenizer.encode(["of  61"], append_eos=False)
    # Two spaces before a digit stay together; GPT-2's own split would give the second to the digit.
    pieces = [tokenizer.encode([piece], append_eos=False)[0] for piece in ("of", "  ", "6", "1")]
    assert apart == sum(pieces, ())


def test_a_gguf_file_is_converted_once(
    tiny_gguf: tuple[Path, BaseFiles], cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="byrote")
    first = resolve_base(str(tiny_gguf[0]))
    written = (first.folder / WEIGHTS).stat().st_mtime_ns
    moved = tiny_gguf[0].rename(cache / "moved.gguf")
    second = resolve_base(str(moved))
    assert (second.folder, second.content) == (first.folder, first.content)
    assert (second.folder / WEIGHTS).stat().st_mtime_ns == written
    assert [path.name for path in (cache / "models").iterdir()] == [first.folder.name]
    assert [record.message.split(",")[0] for record in caplog.records] == [
        f"converting tiny-f32.gguf to safetensors in {first.folder}"
    ]


def test_the_converted_files_name_no_path_and_no_version(tiny_gguf: tuple[Path, BaseFiles], tmp_path: Path) -> None:
    folder = resolve_base(str(tiny_gguf[0])).folder
    for name in ("config.json", "tokenizer_config.json", "tokenizer.json"):
        text = (folder / name).read_text()
        assert str(tmp_path) not in text
        assert "transformers_version" not in text


def test_a_broken_gguf_file_leaves_nothing_behind(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"GGUF, or so it says")
    with pytest.raises(ModelError, match=r"broken\.gguf cannot be read as a GGUF model"):
        resolve_base(str(tmp_path / "broken.gguf"))
    assert list((cache / "models").iterdir()) == []


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("BYROTE_CACHE", str(tmp_path / "file"))
    (tmp_path / "any.gguf").touch()
    with pytest.raises(ModelError, match=r"cannot write byrote's cache .*; set BYROTE_CACHE"):
        resolve_base(str(tmp_path / "any.gguf"))


# --- the hub ---

SHA = "0123456789" * 4


class FakeHub(ThreadingHTTPServer):
    """A hub on this machine: `org/tiny`, the gated `org/gated`, the ill `org/ill`, and a log of what was fetched."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.folder = folder
        self.fetched: list[str] = []
        self.endpoint = f"http://127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    server: FakeHub

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        files = sorted(p for p in self.server.folder.rglob("*") if p.is_file())
        names = [p.relative_to(self.server.folder).as_posix() for p in files]
        if path.startswith("/api/models/org/gated/"):
            self._refuse(403, "GatedRepo")
        elif path == "/api/models/org/tiny/revision/main":
            self._send(json.dumps({"id": "org/tiny", "sha": SHA, "siblings": []}).encode())
        elif path.startswith("/api/models/org/tiny/revision/"):
            self._refuse(404, "RevisionNotFound")
        elif path == f"/api/models/org/tiny/tree/{SHA}":
            sizes = zip(names, files, strict=True)
            self._send(json.dumps([_entry(name, file.stat().st_size) for name, file in sizes]).encode())
        elif path.startswith(f"/org/tiny/resolve/{SHA}/"):
            name = path.partition(f"{SHA}/")[2]
            self.server.fetched.append(name)
            self._send((self.server.folder / name).read_bytes(), name)
        elif path.startswith("/api/models/org/ill/"):
            self._refuse(500, "")
        else:
            self._refuse(404, "RepoNotFound")

    def do_HEAD(self) -> None:
        self.do_GET()

    def _send(self, body: bytes, name: str = "answer") -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{_oid(name)}"')
        self.send_header("X-Repo-Commit", SHA)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None: ...


def _oid(name: str) -> str:
    return name.encode().hex()[:40].ljust(40, "0")


def _entry(name: str, size: int) -> dict[str, Any]:
    return {"type": "file", "path": name, "size": size, "oid": _oid(name)}


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[FakeHub]:
    folder = save_tiny_model(tmp_path / "served")
    for extra in ("pytorch_model.bin", "modeling.py", "onnx/model.safetensors", "consolidated.safetensors"):
        (folder / extra).parent.mkdir(exist_ok=True)
        (folder / extra).write_bytes(b"unwanted")
    with serving(folder) as server:
        yield server


@contextmanager
def serving(folder: Path) -> Iterator[FakeHub]:
    """A hub that serves this folder as `org/tiny`."""
    with FakeHub(folder) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_hub_model_is_fetched_without_pickles_code_and_copies(hub: FakeHub, tmp_path: Path) -> None:
    folder = download("org/tiny", None, hub.endpoint, tmp_path / "hub")
    fetched = {path.name for path in folder.rglob("*") if path.is_file()}
    wanted = {"config.json", "generation_config.json", WEIGHTS, "tokenizer.json", "tokenizer_config.json"}
    assert fetched == wanted == set(hub.fetched)
    assert resolve_base(str(folder)).content == resolve_base(str(_clean(hub.folder))).content


def _clean(folder: Path) -> Path:
    (folder / "consolidated.safetensors").unlink()
    return folder


def test_what_was_fetched_serves_without_a_network(hub: FakeHub, tmp_path: Path) -> None:
    first = download("org/tiny", None, hub.endpoint, tmp_path / "hub")
    assert download("org/tiny", None, "http://127.0.0.1:9", tmp_path / "hub") == first


REFUSALS = {
    "org/gated": "'org/gated' is gated: accept its terms on the hub, then `hf auth login` or set HF_TOKEN",
    "org/nowhere": "'org/nowhere' is neither a local folder nor one of the hub's models",
    "a/b/c": "'a/b/c' is neither a local folder nor a hub id, which is written owner/name",
}


@pytest.mark.parametrize("repo", REFUSALS)
def test_a_refusal_says_what_to_do(hub: FakeHub, tmp_path: Path, repo: str) -> None:
    with pytest.raises(ModelError, match=REFUSALS[repo]):
        download(repo, None, hub.endpoint, tmp_path / "hub")


def test_a_hub_that_is_down(hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="model 'org/ill'"):
        download("org/ill", None, hub.endpoint, tmp_path / "hub")


def test_an_unknown_revision(hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="'org/tiny' has no revision 'v9' on the hub"):
        download("org/tiny", "v9", hub.endpoint, tmp_path / "hub")


def test_no_network(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="'org/tiny' is not in the local cache and the hub cannot be reached"):
        download("org/tiny", None, "http://127.0.0.1:9", tmp_path / "hub")


def test_a_hub_adapter_is_fetched_without_pickles_and_the_base_models_weights(tmp_path: Path) -> None:
    base = load_base(resolve_base(str(save_tiny_model(tmp_path / "tiny"))), "fp32", "none", CPU)
    folder = save_peft(base, "lora", tmp_path / "served")
    for extra in ("adapter_model.bin", "training_args.bin", "model.safetensors", "trainer_state.json"):
        (folder / extra).write_bytes(b"{}")
    with serving(folder) as server:
        got = download("org/tiny", None, server.endpoint, tmp_path / "hub", wanted=ADAPTER_FILES, what="adapter")
        with pytest.raises(
            ModelError, match="adapter 'org/nowhere' is neither a local folder nor one of the hub's adapters"
        ):
            download("org/nowhere", None, server.endpoint, tmp_path / "hub", wanted=ADAPTER_FILES, what="adapter")
    assert {path.name for path in got.iterdir()} == {ADAPTER_CONFIG, ADAPTER_WEIGHTS, "trainer_state.json"}
    assert resolve_adapter(str(got)).content == resolve_adapter(str(folder)).content


def test_an_adapter_and_no_network(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"adapter 'org/tiny' is not in the local cache and .* or use a local folder$"):
        download("org/tiny", None, "http://127.0.0.1:9", tmp_path / "hub", wanted=ADAPTER_FILES, what="adapter")


# --- the tokenizer ---


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    return load_tokenizer(resolve_base(str(save_tiny_model(tmp_path / "tiny"))))


def test_texts_come_back_from_their_ids(tokenizer: Tokenizer) -> None:
    texts = [*TEXTS, "  61 µg – naïve\n"]
    ids = tokenizer.encode(texts, append_eos=False)
    assert [tokenizer.decode(row) for row in ids] == texts
    assert tokenizer.eos_id == EOS_ID
    assert not tokenizer.adds_bos
    assert tokenizer.encode(texts, append_eos=True) == [(*row, EOS_ID) for row in ids]
    assert tokenizer.encode([], append_eos=True) == []


def test_a_text_longer_than_the_context_is_neither_cut_nor_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = save_tiny_model(tmp_path / "tiny")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "model_max_length": 16}))
    inner = json.loads((folder / "tokenizer.json").read_text())
    inner["truncation"] = {"direction": "Right", "max_length": 16, "strategy": "LongestFirst", "stride": 0}
    (folder / "tokenizer.json").write_text(json.dumps(inner))
    (ids,) = load_tokenizer(resolve_base(str(folder))).encode(["x" * 200], append_eos=False)
    assert len(ids) == 200
    assert caplog.records == []


def test_bos_is_kept_where_the_tokenizer_adds_one(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "tiny")
    inner = json.loads((folder / "tokenizer.json").read_text())
    single = [{"SpecialToken": {"id": "<eos>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    special = {"<eos>": {"id": "<eos>", "ids": [EOS_ID], "tokens": ["<eos>"]}}
    inner["post_processor"] = {
        "type": "TemplateProcessing",
        "single": single,
        "pair": [*single, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": special,
    }
    (folder / "tokenizer.json").write_text(json.dumps(inner))
    PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), bos_token="<eos>").save_pretrained(folder)
    with_bos = load_tokenizer(resolve_base(str(folder)))
    assert with_bos.adds_bos
    assert with_bos.encode(["rash"], append_eos=False)[0][0] == EOS_ID
    assert with_bos.eos_id is None
    with pytest.raises(ModelError, match="tokenizer has no end-of-text token"):
        with_bos.encode(["rash"], append_eos=True)


def test_a_broken_tokenizer(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "tiny")
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match="the tokenizer of tiny cannot be read"):
        load_tokenizer(resolve_base(str(folder)))


def test_sharded_weights_are_read(tmp_path: Path) -> None:
    folder = save_tiny_model(tmp_path / "tiny")
    weights = load_file(folder / WEIGHTS)
    whole = load_base(resolve_base(str(folder)), "fp32", "none", CPU).model.state_dict()
    (folder / WEIGHTS).unlink()
    shards = {name: f"model-0000{i % 2 + 1}-of-00002.safetensors" for i, name in enumerate(weights)}
    for file in set(shards.values()):
        save_file({n: t for n, t in weights.items() if shards[n] == file}, folder / file, metadata={"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": shards}))
    sharded = load_base(resolve_base(str(folder)), "fp32", "none", CPU).model.state_dict()
    assert all(torch.equal(sharded[name], value) for name, value in whole.items())
