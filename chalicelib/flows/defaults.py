"""A buyer's default: declared only after a look at the provider, so that nobody loses money that was on its way."""

from msgspec import Struct

from chalicelib.core.common.journal import RequestContext
from chalicelib.core.delivery.fulfilment import DeclareDefault
from chalicelib.flows.commit import Outcome
from chalicelib.flows.deposit_worker import DepositWorker
from chalicelib.flows.deposits import DepositDesk


class Defaults(Struct, frozen=True):
    """The merchant's way to end a deposit whose balance was never paid."""

    desk: DepositDesk
    attendant: DepositWorker

    def declare(self, deposit_id: str, asked: RequestContext) -> Outcome:
        """Refused(BUSY) when the provider cannot be asked now."""
        self.desk.visible(deposit_id, asked.caller)
        self.attendant.look_for_balance(deposit_id, f"default/{asked.key_text}")
        return self.desk.command(deposit_id, DeclareDefault(), asked)
