"""Base models and adapters of the Hugging Face hub: what is fetched, and what each refusal means."""

from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from byrote.errors import ModelError
from byrote.lm.library import first_line

MODEL_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")
ADAPTER_FILES = ("*.json", "adapter_model.safetensors", "*.txt", "*.model", "*.jinja")
# Folders hold other formats; consolidated files are a second copy of the weights.
_UNWANTED = ["*/*", "consolidated*", "*.bin", "*.pt", "*.pth", "*.py"]


def download(
    repo: str,
    revision: str | None = None,
    endpoint: str | None = None,
    cache: Path | None = None,
    *,
    wanted: tuple[str, ...] = MODEL_FILES,
    what: str = "model",
) -> Path:
    """The folder of a hub model's config, safetensors and tokenizer, fetched where it is not in the hub's own cache.

    endpoint, cache: another hub or cache than the login's · wanted: patterns of file names · what: model or adapter, in
    errors. Raises ModelError for an id that is malformed, unknown or gated, and where the hub cannot be reached and
    nothing was fetched before.
    """
    try:
        folder = snapshot_download(
            repo,
            revision=revision,
            endpoint=endpoint,
            cache_dir=cache,
            allow_patterns=list(wanted),
            ignore_patterns=_UNWANTED,
        )
    except Exception as error:
        raise ModelError(_why(repo, revision, error, what)) from error
    return Path(folder)


def _why(repo: str, revision: str | None, error: Exception, what: str) -> str:
    # From the narrow class to the wide one: a gated model is also a repository not found, and both are OSErrors.
    match error:
        case HFValidationError():
            return f"{what} {repo!r} is neither a local folder nor a hub id, which is written owner/name"
        case GatedRepoError():
            return f"{what} {repo!r} is gated: accept its terms on the hub, then `hf auth login` or set HF_TOKEN"
        case RevisionNotFoundError():
            return f"{what} {repo!r} has no revision {revision!r} on the hub; give a branch, tag or commit"
        case RepositoryNotFoundError():
            return (
                f"{what} {repo!r} is neither a local folder nor one of the hub's {what}s; check the name, "
                "or `hf auth login` (HF_TOKEN) where it is private"
            )
        case LocalEntryNotFoundError():
            return (
                f"{what} {repo!r} is not in the local cache and the hub cannot be reached; "
                f"check the network, or use a local folder{' or smollm2-135m' if what == 'model' else ''}"
            )
    return f"{what} {repo!r} cannot be fetched from the hub: {first_line(error)}"
