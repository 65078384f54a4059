"""After reconciling with an invoice the bills of its items are what it says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass, field, replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reception.money import reconciliation
from reception.money.book import Book
from reception.money.case import ADJUSTMENT, RESPONSE, TRANSCRIPTION, Bill, Case, Terms
from reception.money.invoice import Item
from reception.money.limits import LimitTable
from reception.money.prices import parse_prices
from reception.money.reconciliation import Correction, Place, account_of, correct, settle
from reception.provider.base import Usage

DEAR_FROM_S = datetime(2026, 11, 24, tzinfo=UTC).timestamp()
NOW_S = DEAR_FROM_S + 3_600
FULL, MINI, WORDS = "full", "mini", "words"
KINDS = {
    FULL: {"text": {"input": 4, "cached": 1, "output": 16}, "audio": {"input": 32, "output": 64}},
    MINI: {"text": {"input": 1, "output": 2}, "audio": {"input": 10, "output": 20}},
}
PRICES = parse_prices(
    {
        "version": "1",
        "models": {
            FULL: [
                {"valid_from": "2026-01-01", **KINDS[MINI]},
                {"valid_from": "2026-11-24", **KINDS[FULL]},
            ],
            MINI: [{"valid_from": "2026-01-01", **KINDS[MINI]}],
            WORDS: [{"valid_from": "2026-01-01", "usd_per_second": "0.0001"}],
        },
    }
)


@dataclass
class Deployment:
    """A book, and where it was asked to bill what."""

    book: Book = field(
        default_factory=lambda: Book(LimitTable(()), {}, Terms(PRICES, 30, 15, 1e9), NOW_S - 1e6)
    )
    places: dict[tuple[str, str], list[Place]] = field(default_factory=dict)
    cases: dict[str, Case] = field(default_factory=dict)

    def bill(self, session: str, item: Item, at_s: float = NOW_S) -> None:
        cost = item.cost(item.model, PRICES, at_s)
        bill = Bill(item.kind, item.id, item.model, item.tokens, item.audio_ms, cost)
        self.learn(session)
        self.book.use(session, bill, at_s)
        self.places.setdefault(item.key, []).append(Place(session, at_s))
        self.forget()

    def adjust(self, session: str, micros: int) -> None:
        self.learn(session)
        self.book.adjust(session, Bill(ADJUSTMENT, "a", "", Usage(), 0, micros), NOW_S)
        self.forget()

    def reconcile(self, *items: Item) -> list[Correction]:
        done = []
        for item in items:
            places = self.places.get(item.key, [])
            for session in (account_of(item), *(each.session_id for each in places)):
                self.learn(session)
            found = correct(item, places, self.book.known, PRICES, NOW_S)
            settle(self.book, found, "openai", NOW_S)
            self.forget()
            done.append(found)
        return done

    def learn(self, session: str) -> None:
        if self.book.known(session) is None and session in self.cases:
            self.book.learn(self.cases[session])

    def forget(self) -> None:
        self.cases |= self.book.forget().cases

    def bills(self, item: Item) -> list[Bill]:
        """Of an item, and what corrects them."""
        return [
            bill
            for case in self.cases.values()
            for bill in case.bills.values()
            if bill.key == item.key
            or (bill.kind == ADJUSTMENT and bill.used_id[:-5] == account_of(item))
        ]

    def stands(self, item: Item) -> tuple[tuple[int, ...], int, int]:
        """Tokens, milliseconds and micro-dollars of an item."""
        bills = self.bills(item)
        counts = zip(*(astuple(bill.tokens) for bill in bills), strict=True)
        return (
            tuple(map(sum, counts)),
            sum(bill.audio_ms for bill in bills),
            sum(bill.cost_micros for bill in bills),
        )

    def posted(self) -> int:
        return sum(case.account.total_micros for case in self.cases.values())


def answer(id_: str = "r1", model: str = FULL, output: int = 70, at_s: float | None = None) -> Item:
    return Item(RESPONSE, id_, model, Usage(100, 50, 40, 0, 7, output), at_s=at_s)


def said(id_: str = "i1", seconds: float = 4.0) -> Item:
    return Item(TRANSCRIPTION, id_, WORDS, seconds=seconds)


# ------------------------------------------------------------------ one item


def test_what_is_billed_as_in_the_invoice_is_left_alone() -> None:
    books = Deployment()
    books.bill("s1", answer())
    books.bill("s1", said())
    before = books.posted()
    assert books.reconcile(answer(model="full-2026-05-06"), said()) == [
        Correction(answer(model="full-2026-05-06")),
        Correction(said()),
    ]
    assert books.posted() == before


def test_what_is_billed_otherwise_is_corrected_in_its_call() -> None:
    books = Deployment()
    books.bill("s1", answer(output=60))
    books.bill("s1", said(seconds=5.5))
    one, other = books.reconcile(answer(), said())
    assert one.bills == (
        ("s1", Bill(ADJUSTMENT, "invoice:response:r1:0000", FULL, Usage(output_audio=10), 0, 640)),
    )
    assert other.bills == (
        ("s1", Bill(ADJUSTMENT, "invoice:transcription:i1:0000", WORDS, Usage(), -1_500, -150)),
    )
    assert str(one) == "response r1: billed otherwise (+10 tokens, +0 ms, +640 micro-dollars)"
    assert [each.micros for each in books.reconcile(answer(), said())] == [0, 0]
    cost = books.cases["s1"].cost()
    assert (cost.responses, cost.output_audio, cost.input_audio) == (1, 70, 50)


def test_a_later_invoice_corrects_an_earlier_one() -> None:
    books = Deployment()
    books.bill("s1", answer(output=60))
    for output in (70, 65, 60):
        books.reconcile(answer(output=output))
        assert books.stands(answer())[2] == answer(output=output).cost(FULL, PRICES, NOW_S)
    assert [bill.used_id for bill in books.bills(answer())[1:]] == [
        "invoice:response:r1:0000", "invoice:response:r1:0001", "invoice:response:r1:0002",
    ]  # fmt: skip


def test_the_price_is_that_of_the_bill() -> None:
    books = Deployment()
    books.bill("s1", answer(output=60), DEAR_FROM_S - 1)
    [found] = books.reconcile(answer())
    assert found.micros == 10 * 20


def test_what_is_billed_nowhere_gets_an_account_of_its_own() -> None:
    books = Deployment()
    item, early = answer(), answer("r2", "full-2026-05-06", at_s=DEAR_FROM_S - 1)
    new, old = books.reconcile(item, early)
    assert (new.micros, old.micros) == (
        item.cost(FULL, PRICES, NOW_S), early.cost(FULL, PRICES, DEAR_FROM_S - 1),
    )  # fmt: skip
    assert (
        str(new)
        == f"response r1: not billed before (+227 tokens, +0 ms, {new.micros:+d} micro-dollars)"
    )
    case = books.cases["invoice:response:r1"]
    assert (case.owner.scopes(), case.account.closed) == (("global", "provider:openai"), True)
    assert (case.account.held_micros, case.account.total_micros) == (0, new.micros)
    assert (case.opened_at_s, books.cases["invoice:response:r2"].opened_at_s) == (
        NOW_S, DEAR_FROM_S - 1,
    )  # fmt: skip
    assert books.cases["invoice:response:r2"].owner.model == FULL
    assert [each.bills for each in books.reconcile(item, early)] == [(), ()]
    [more] = books.reconcile(replace(early, tokens=Usage(100, 50, 40, 0, 7, 71)))
    assert more.micros == 20  # still the price of when it was made


def test_a_bill_that_comes_late_takes_the_place_of_the_items_own() -> None:
    books = Deployment()
    books.reconcile(answer())
    books.bill("s1", answer(output=60))
    [found] = books.reconcile(answer())
    assert [session for session, _ in found.bills] == ["s1", "invoice:response:r1"]
    assert books.cases["invoice:response:r1"].account.total_micros == 0
    assert books.stands(answer())[2] == books.posted() == answer().cost(FULL, PRICES, NOW_S)


def test_of_two_bills_the_first_stays() -> None:
    books = Deployment()
    books.bill("s1", answer())
    books.bill("s2", answer(output=90))
    [found] = books.reconcile(answer())
    assert [session for session, _ in found.bills] == ["s2"]
    assert (books.posted(), books.cases["s2"].account.total_micros) == (
        answer().cost(FULL, PRICES, NOW_S), 0,
    )  # fmt: skip


def test_another_model_takes_it_all_over() -> None:
    books = Deployment()
    books.bill("s1", answer(model=MINI))
    [found] = books.reconcile(answer(model="full-2026-05-06"))
    tokens = Usage(100, 50, 40, 0, 7, 70)
    gone = Usage(*(-count for count in astuple(tokens)))
    assert [(bill.model, bill.tokens) for _, bill in found.bills] == [(FULL, tokens), (MINI, gone)]
    assert found.tokens == 0
    assert books.posted() == answer().cost(FULL, PRICES, NOW_S)
    assert not books.reconcile(answer(model="full-2026-05-06"))[0].bills


def test_ids_are_not_taken_for_one_another() -> None:
    books = Deployment()
    first, second = answer("a", output=60), answer("a:0000", output=60)
    for item in (first, second):
        books.bill("s1", item)
    want = [answer("a"), answer("a:0000", output=80)]
    assert [each.micros for each in books.reconcile(*want)] == [640, 1_280]
    assert [each.micros for each in books.reconcile(*want)] == [0, 0]


# ------------------------------------------------------------------ what can't be


def test_a_model_without_a_price_is_named() -> None:
    books = Deployment()
    books.bill("s1", answer("r2"))
    new, other = books.reconcile(answer(model="unknown"), answer("r2", "unknown"))
    assert str(new).startswith("response r1: it can't be corrected: model 'unknown' has no price")
    assert (other.bills, other.problem[:8]) == ((), "it can't")
    assert books.posted() == answer().cost(FULL, PRICES, NOW_S)


def test_what_was_given_back_by_hand_is_not_taken_twice() -> None:
    books = Deployment()
    books.bill("s1", answer())
    total = answer().cost(FULL, PRICES, NOW_S)
    books.adjust("s1", 10 - total)
    [found] = books.reconcile(answer(output=60))
    assert found.problem == (
        "640 micro-dollars are to be taken back of s1, which was corrected by hand and has "
        "cost only 10"
    )
    assert books.posted() == 10


def test_an_item_is_corrected_so_often_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciliation, "_MAX_ADJUSTMENTS", 1)
    books = Deployment()
    books.bill("s1", answer(output=60))
    books.reconcile(answer())
    [found] = books.reconcile(answer(output=60))
    assert found.problem == "it can't be corrected: it has 1 adjustments already"


# ------------------------------------------------------------------ any books, any invoice

USAGES = st.sampled_from(
    [Usage(), Usage(9, 8, 7, 6, 5, 4), Usage(9, 8, 7, 6, 5, 3), Usage(90), Usage(9, 8, 0, 8, 0, 40)]
)
IDS = st.sampled_from(["a", "b", "c", "a:0000"])
TIMES = st.sampled_from([NOW_S, DEAR_FROM_S - 1])
ITEMS = st.one_of(
    st.builds(
        Item, st.just(RESPONSE), IDS, st.sampled_from([FULL, MINI]), USAGES, st.just(0.0),
        st.none() | TIMES,
    ),
    st.builds(
        Item, st.just(TRANSCRIPTION), IDS, st.just(WORDS), st.just(Usage()),
        st.sampled_from([0.0, 0.004, 0.005, 4.25, 9.0]),
    ),
)  # fmt: skip
BILLED = st.lists(st.tuples(st.sampled_from(["s1", "s2"]), ITEMS, TIMES), max_size=6)
INVOICES = st.lists(ITEMS, max_size=6, unique_by=lambda item: item.key)


def once(bills: Iterable[tuple[str, Item, float]]) -> list[tuple[str, Item, float]]:
    """A session bills an item once."""
    return list({(session, item.key): (session, item, at) for session, item, at in bills}.values())


@given(BILLED, INVOICES, INVOICES, BILLED)
def test_the_sums_are_equal_and_then_nothing_changes(
    billed: list[tuple[str, Item, float]],
    invoice: list[Item],
    later: list[Item],
    late: list[tuple[str, Item, float]],
) -> None:
    books = Deployment()
    for bill in once(billed):
        books.bill(*bill)
    check(books, invoice)
    check(books, later)
    known = {(session, item.key) for session, item, _ in billed}
    for session, item, at_s in once(late):
        if (session, item.key) not in known:
            books.bill(session, item, at_s)
    check(books, later)
    check(books, invoice)


def check(books: Deployment, invoice: list[Item]) -> None:
    others = {
        key: books.stands(Item(*key, ""))
        for key in books.places
        if key not in {item.key for item in invoice}
    }
    found = books.reconcile(*invoice)
    assert not [each.problem for each in found if each.problem]
    for item in invoice:
        tokens, ms, micros = books.stands(item)
        assert (tokens, ms) == (astuple(item.tokens), item.audio_ms)
        prices = {item.cost(item.model, PRICES, at_s) for at_s in (NOW_S, DEAR_FROM_S - 1)}
        assert micros in prices
        by_model = {bill.model: 0 for bill in books.bills(item)}
        for bill in books.bills(item):
            by_model[bill.model] += bill.tokens.tokens
        assert all(not count for model, count in by_model.items() if model != item.model)
    assert others == {key: books.stands(Item(*key, "")) for key in others}
    assert (
        sum(bill.cost_micros for case in books.cases.values() for bill in case.bills.values())
        == books.posted()
    )
    assert all(case.account.total_micros >= 0 for case in books.cases.values())
    before = books.posted()
    assert not [each.bills for each in books.reconcile(*invoice) if each.bills]
    assert books.posted() == before
