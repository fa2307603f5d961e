"""The accounts that buyers named: sealed beside the journal, opened only to pay or to compare a name."""

import json

from msgspec import Struct
from msgspec.structs import asdict

from chalicelib.core.common.ids import child
from chalicelib.core.refunding.destination import Payee
from chalicelib.flows.ports.effects import SealedText
from chalicelib.flows.ports.store import Texts, Vault


class Payees(Struct, frozen=True):
    """Seals accounts and opens them again."""

    texts: Texts
    vault: Vault

    def digest(self, payee: Payee) -> str:
        """Tells whether the account changed, and nothing else."""
        return self.vault.fingerprint(_written(payee))

    def kept(self, deposit_id: str, refund: int, destination: int, payee: Payee) -> SealedText:
        key = text_key(deposit_id, refund, destination)
        return SealedText(key, self.vault.seal(key, _written(payee)))

    def of(self, deposit_id: str, refund: int, destination: int) -> Payee:
        """LookupError when it is not there, or the secret is gone: then nobody is paid."""
        key = text_key(deposit_id, refund, destination)
        sealed = self.texts.get(key)
        if sealed is None:
            raise LookupError(key)
        return Payee(**json.loads(self.vault.unseal(key, sealed)))


def text_key(deposit_id: str, refund: int, destination: int) -> str:
    return f"text#{child('ref', deposit_id, refund)}#{destination}"


def _written(payee: Payee) -> bytes:
    return json.dumps(asdict(payee), sort_keys=True).encode()
