"""A buyer's default: declared only after the provider was asked, so that a payment on its way is not lost."""

from msgspec import Struct

from chalicelib.core.common.journal import RequestContext
from chalicelib.core.delivery.fulfilment import DeclareDefault
from chalicelib.flows.deposit_worker import DepositWorker
from chalicelib.flows.deposits import DepositDesk
from chalicelib.flows.snapshot import Outcome


class Defaults(Struct, frozen=True):
    """The merchant's way to end a deposit whose balance was never paid."""

    desk: DepositDesk
    worker: DepositWorker

    def declare(self, deposit_id: str, request: RequestContext) -> Outcome:
        """Refused(BUSY) when the provider cannot be asked now."""
        self.desk.authorize(deposit_id, request.caller)
        self.worker.settle_balance(deposit_id, f"default/{request.key_text}")
        return self.desk.command(deposit_id, DeclareDefault(), request)
