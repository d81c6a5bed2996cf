"""What the service owes, and until when."""

from speechpool.speech.azure.patience import NEVER, Commits, CommitStep, Patience


def patience(segmentation_maximum_seconds: float | None = None) -> Patience:
    return Patience(
        answer_seconds=10,
        silent_seconds=40,
        reconnect_seconds=25,
        end_seconds=10,
        segmentation_maximum_seconds=segmentation_maximum_seconds,
    )


def due(owed: Patience, *, shows_turns: bool = False) -> list[float]:
    return [at for at, _ in owed.deadlines(shows_turns=shows_turns)]


def test_before_any_audio_nothing_is_owed() -> None:
    assert due(patience(), shows_turns=True) == []


def test_the_first_audio_is_answered_where_that_can_be_seen() -> None:
    owed = patience()
    owed.wrote(0.02, 100.0)
    owed.wrote(0.02, 105.0)
    assert due(owed, shows_turns=True) == [110.0]
    assert due(owed) == []
    owed.answered()
    assert due(owed, shows_turns=True) == []


def test_forty_seconds_of_audio_are_owed_an_event() -> None:
    owed = patience()
    for second in range(39):
        owed.wrote(1.0, 100.0 + second)
    assert due(owed) == []
    owed.wrote(1.0, 139.0)
    assert due(owed) == [140.0]


def test_audio_faster_than_it_plays_is_given_the_time_that_it_plays() -> None:
    owed = patience()
    owed.wrote(40.0, 100.0)
    assert due(owed) == [140.0]


def test_a_caller_who_writes_nothing_is_owed_nothing_however_long() -> None:
    owed = patience()
    owed.wrote(5.0, 100.0)
    assert due(owed) == []


def test_an_event_begins_the_count_again() -> None:
    owed = patience()
    owed.wrote(39.0, 100.0)
    owed.heard(120.0)
    owed.wrote(39.0, 150.0)
    assert due(owed) == []
    owed.wrote(1.0, 151.0)
    assert due(owed) == [190.0]


def test_longer_segments_are_given_longer() -> None:
    owed = patience(70)
    owed.wrote(83.0, 100.0)
    assert due(owed) == []
    owed.wrote(1.0, 100.0)
    assert due(owed) == [184.0]


def test_a_lost_connection_is_owed_another() -> None:
    owed = patience()
    owed.wrote(1.0, 100.0)
    owed.lost(110.0)
    assert due(owed) == [135.0]
    owed.connected()
    assert due(owed) == []


def test_the_end_of_the_audio_is_owed_an_answer_in_the_time_that_the_untold_audio_plays() -> None:
    owed = patience()
    owed.wrote(6.0, 100.0)
    owed.finished(101.0, unacknowledged_seconds=6.0)
    assert due(owed) == [117.0]
    owed.heard(115.0)
    assert due(owed) == [125.0]


def test_an_early_event_does_not_shorten_the_time_after_the_end() -> None:
    owed = patience()
    owed.wrote(6.0, 100.0)
    owed.finished(101.0, unacknowledged_seconds=6.0)
    owed.heard(102.0)
    assert due(owed) == [117.0]


def test_a_commit_that_nobody_answers_is_followed_by_silence_and_then_by_an_answer_of_ours() -> None:
    commits = Commits(wait_seconds=2)
    assert commits.due_at == NEVER
    commits.asked(1, 100.0)
    assert commits.due_at == 102.0
    assert commits.overdue() is CommitStep.WRITE_SILENCE
    commits.silenced(1.5, 102.0)
    assert commits.due_at == 105.5
    assert commits.overdue() is CommitStep.ANSWER
    assert commits.due_at == NEVER


def test_a_commit_is_settled_by_any_text() -> None:
    commits = Commits(wait_seconds=2)
    commits.asked(3, 100.0)
    commits.settle(0, has_text=True)
    assert commits.due_at == NEVER


def test_a_commit_is_settled_by_its_own_answer_without_text_and_by_a_later_ones() -> None:
    commits = Commits(wait_seconds=2)
    commits.asked(3, 100.0)
    commits.settle(2, has_text=False)
    assert commits.due_at == 102.0
    commits.settle(4, has_text=False)
    assert commits.due_at == NEVER


def test_a_no_match_is_no_answer_to_a_commit() -> None:
    commits = Commits(wait_seconds=2)
    commits.asked(3, 100.0)
    commits.settle(0, has_text=False)
    assert commits.due_at == 102.0
    commits.silenced(1.0, 101.0)
    commits.settle(0, has_text=False)
    assert commits.due_at == 104.0
