from typing import Any

from speechpool_azure_emulator.ledger import ConnectionRecord, Ledger

FACTS: dict[str, Any] = {"kind": "tts", "path": "/tts", "query": {}, "credential": "none", "headers": {}, "asked_at": 0}


def opened(ledger: Ledger) -> ConnectionRecord:
    return ledger.connection_opened(**FACTS)


def test_sockets_are_counted_while_they_are_open() -> None:
    ledger = Ledger(10)
    first, _ = opened(ledger), opened(ledger)
    ledger.connection_closed(first, 1000, "client")
    counts = ledger.counts()

    assert (counts.upgrades_ok, counts.open_sockets, counts.sockets_closed_by_client) == (2, 1, 1)
    assert counts.upgrades_by_path == {"/tts": 2}


def test_an_utterance_knows_the_connection_it_rode_on() -> None:
    ledger = Ledger(10)
    connection = opened(ledger)
    utterances = [ledger.utterance_begun(connection, "r") for _ in range(2)]

    assert [utterance.nth_on_connection for utterance in utterances] == [1, 2]
    assert utterances[1].connection is connection
    assert utterances[1].connection_age_seconds >= 0


def test_only_the_first_end_counts() -> None:
    ledger = Ledger(10)
    utterance = ledger.utterance_begun(opened(ledger), "r")
    ledger.ended(utterance, "refused")
    ledger.ended(utterance, "complete")

    assert utterance.state == "refused"
    assert (ledger.counts().utterances_complete, ledger.counts().utterances_running) == (0, 0)


def test_only_the_last_records_are_kept() -> None:
    ledger = Ledger(2)
    connection = opened(ledger)
    for _ in range(5):
        ledger.utterance_begun(connection, "r")

    assert [utterance.number for utterance in ledger.utterances] == [4, 5]
    assert ledger.counts().utterances == 5


def test_a_reset_forgets_all_but_what_is_open_or_under_way() -> None:
    ledger = Ledger(10)
    ledger.utterance_begun(opened(ledger), "r")
    ledger.reset()
    counts = ledger.counts()

    assert (counts.utterances, counts.upgrades_ok, len(ledger.utterances)) == (0, 0, 0)
    assert (counts.open_sockets, counts.utterances_running) == (1, 1)


def test_whoever_watches_is_told_until_the_watch_ends() -> None:
    ledger = Ledger(10)
    told: list[None] = []
    unwatch = ledger.watch(lambda: told.append(None))
    opened(ledger)
    unwatch()
    opened(ledger)

    assert len(told) == 1


def test_records_become_json() -> None:
    ledger = Ledger(10)
    utterance = ledger.utterance_begun(opened(ledger), "r")

    assert utterance.as_json()["connection"] == 1
    assert ledger.counts().as_json()["open_sockets"] == 1
