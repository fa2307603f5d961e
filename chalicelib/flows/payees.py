"""The accounts that buyers named: sealed beside the journal, unsealed only to pay or to compare a name."""

import json

from msgspec import Struct
from msgspec.structs import asdict

from chalicelib.core.refunding.destination import Payee
from chalicelib.flows import text_keys
from chalicelib.flows.ports.effects import SealedText
from chalicelib.flows.ports.store import Texts, Vault


class Payees(Struct, frozen=True):
    """Seals accounts and unseals them."""

    texts: Texts
    vault: Vault

    def digest(self, payee: Payee) -> str:
        """The same for the same account, and no more than that."""
        return self.vault.fingerprint(_to_json(payee))

    def seal(self, deposit_id: str, refund: int, destination: int, payee: Payee) -> SealedText:
        key = text_keys.payee(deposit_id, refund, destination)
        return SealedText(key, self.vault.seal(key, _to_json(payee)))

    def read(self, deposit_id: str, refund: int, destination: int) -> Payee:
        """LookupError when the account or the secret is gone: then nobody is paid."""
        key = text_keys.payee(deposit_id, refund, destination)
        sealed = self.texts.get(key)
        if sealed is None:
            raise LookupError(key)
        return Payee(**json.loads(self.vault.unseal(key, sealed)))


def _to_json(payee: Payee) -> bytes:
    return json.dumps(asdict(payee), sort_keys=True).encode()
