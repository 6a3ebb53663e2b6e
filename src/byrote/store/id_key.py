"""The salt of hashed record ids in RUN/report-ids.json: made once, readable by the owner alone."""

import secrets
from collections.abc import Callable, Mapping

from byrote.store.run import Run

FILE = "report-ids.json"
SALT_BYTES = 32


def hashed_ids(run: Run, hashes_under: Callable[[bytes], Mapping[str, str]]) -> Mapping[str, str]:
    """Id → hash under the run's own salt, which no seed gives: who knows it can look for an id. The file is written
    with all of them, so that the owner finds an id by its hash.

    hashes_under: the hashes under a salt.
    """
    known = run.read_json(FILE) or {"salt": secrets.token_hex(SALT_BYTES)}
    hashes = hashes_under(bytes.fromhex(known["salt"]))
    by_hash = {digest: name for name, digest in hashes.items()}
    run.write_json(FILE, {"salt": known["salt"], "ids": by_hash}, private=True)
    return hashes
