"""Public pages: health, explanations of problems, the sandbox's payment page."""

import html

from chalicelib.core.common.ids import parse_child
from chalicelib.core.common.refusal import Reason, Refused
from chalicelib.core.deposit.payment import may_be_paid
from chalicelib.core.paying.schedule import MAY_ARRIVE
from chalicelib.core.policy.texts import read_text
from chalicelib.flows.ports.provider import Session
from chalicelib.flows.snapshot import take_snapshot
from chalicelib.web.edge.declare import public
from chalicelib.web.edge.page import HTML, page
from chalicelib.web.edge.problems import STATUS
from chalicelib.web.edge.route import Answer, Call, Routes, endpoint
from chalicelib.web.service.answers import HealthAnswer

routes = Routes(__name__, "service")


@public(routes, "/healthz", "Whether the service answers", HealthAnswer)
def healthz(_call: Call) -> Answer:
    return Answer({"status": "ok"})


@public(
    routes,
    "/problems/{name}",
    "What a problem type means and what a caller does about it",
    str,
    media_type=HTML,
    reasons=(Reason.NOT_FOUND,),
)
def explain(call: Call) -> Answer:
    try:
        reason = Reason(call.params["name"])
    except ValueError:
        raise Refused(Reason.NOT_FOUND) from None
    words = {
        part: read_text("problems", reason.value, part, locale=call.locale) for part in ("title", "detail", "about")
    }
    status = f"{read_text('pages', 'problem_page_status', locale=call.locale)} {STATUS[reason]}"
    content = f"<p><code>{reason.value}</code> · {html.escape(status)}</p>" + "".join(
        f"<p>{html.escape(words[part])}</p>" for part in ("detail", "about")
    )
    return Answer(page(words["title"], content, call.locale))


@endpoint(
    routes,
    "GET",
    "/pay/{payment_id}",
    "Open the provider's payment session and go there",
    {303: None, 409: str, 503: str},
    media_type=HTML,
    reasons=(Reason.NOT_FOUND,),
)
def pay(call: Call) -> Answer:
    """The only place where a visit calls the provider; nothing is decided here."""
    payment_id = call.params["payment_id"]
    parsed = parse_child("pay", payment_id)
    if parsed is None:
        raise Refused(Reason.NOT_FOUND)
    image = call.services.desk.commits.load(f"dep_{parsed[0]}")
    deposit = take_snapshot(image.deposit, call.asked.at).deposit
    if parsed[1] > len(deposit.payments):
        raise Refused(Reason.NOT_FOUND)
    payment = deposit.payments[parsed[1] - 1]
    payable = payment.status in MAY_ARRIVE and may_be_paid(deposit, payment)
    if not payable:
        return _write_page("pay_not_payable", 409, call.locale)
    session = call.services.provider.open_session(payment_id, payment.amount, payment.method)
    if not isinstance(session, Session):
        return _write_page("pay_unavailable", 503, call.locale)
    return Answer("", 303, {"Location": session.url})


def _write_page(key: str, status: int, locale: str) -> Answer:
    words = read_text("pages", key, locale=locale)
    return Answer(page("Earnest", f"<p>{html.escape(words)}</p>", locale), status)
