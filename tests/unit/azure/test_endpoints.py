"""Which endpoint the next client connects to."""

import random
from collections import Counter

import pytest

from speechpool.errors import (
    AuthenticationFailed,
    EngineTimeout,
    EngineUnavailable,
    InvalidInput,
    SpeechError,
    Throttled,
)
from speechpool.speech.azure.credentials import Credential, CredentialSource, FixedCredential
from speechpool.speech.azure.endpoints import (
    FIRST_BACKOFF_SECONDS,
    FORGET_SECONDS,
    MAX_BACKOFF_SECONDS,
    MAX_PAUSE_SECONDS,
    PROBE_SECONDS,
    Endpoint,
    EndpointList,
)
from speechpool.speech.azure.failures import Work
from speechpool.speech.azure.places import place_of

KEY = FixedCredential("AZURE_SPEECH_KEY", "a" * 32)
DOWN = EngineUnavailable("connection refused")
DENIED = AuthenticationFailed("AZURE_SPEECH_KEY is refused")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def endpoint(
    clock: Clock, region: str = "westeurope", weight: int = 1, credentials: CredentialSource | None = None
) -> Endpoint:
    async def explain(_: Endpoint) -> SpeechError:
        return DENIED

    return Endpoint(
        place_of(region),
        Work.SYNTHESIS,
        credentials or KEY,
        weight=weight,
        clock=clock,
        rng=random.Random(7),
        explain=explain,
    )


def endpoints(clock: Clock, **weights: int) -> EndpointList:
    return EndpointList(Work.SYNTHESIS, [endpoint(clock, region, weight) for region, weight in weights.items()])


def chosen(many: EndpointList, count: int) -> Counter[str]:
    return Counter(many.choose().name for _ in range(count))


def break_down(one: Endpoint) -> None:
    one.failed(DOWN)
    one.failed(DOWN)


# --- health --------------------------------------------------------------------------------------------------------


def test_one_failure_alone_leaves_an_endpoint_in_use(clock: Clock) -> None:
    one = endpoint(clock)

    one.failed(EngineTimeout("no first chunk"))

    assert one.is_usable
    assert one.problem is None


def test_two_failures_in_a_row_leave_it_alone_for_a_back_off(clock: Clock) -> None:
    one = endpoint(clock)

    break_down(one)

    assert not one.is_usable
    assert one.problem is DOWN
    assert FIRST_BACKOFF_SECONDS / 2 <= one.retry_in_seconds <= FIRST_BACKOFF_SECONDS


def test_a_success_between_two_failures_keeps_it(clock: Clock) -> None:
    one = endpoint(clock)

    one.failed(DOWN)
    one.succeeded()
    one.failed(DOWN)

    assert one.is_usable


def test_failures_far_apart_are_not_in_a_row(clock: Clock) -> None:
    one = endpoint(clock)

    one.failed(DOWN)
    clock.now += FORGET_SECONDS + 1
    one.failed(DOWN)

    assert one.is_usable


def test_refused_credentials_leave_it_alone_at_once(clock: Clock) -> None:
    one = endpoint(clock)

    one.failed(DENIED)

    assert not one.is_usable
    assert one.problem is DENIED


def test_a_request_that_is_refused_for_itself_is_an_answer_like_any_other(clock: Clock) -> None:
    one = endpoint(clock)

    for _ in range(5):
        one.failed(InvalidInput("unknown voice"))

    assert one.is_usable
    assert not one.failures


def test_throttling_pauses_it_for_as_long_as_the_service_asks(clock: Clock) -> None:
    one = endpoint(clock)

    one.failed(Throttled("429", retry_after_seconds=4.0))

    assert 4.0 <= one.retry_in_seconds <= 5.0
    assert one.throttled == 1


def test_a_request_on_an_older_connection_does_not_end_a_pause(clock: Clock) -> None:
    one = endpoint(clock)
    one.failed(Throttled("429", retry_after_seconds=4.0))

    one.succeeded()
    one.opened(0.1)
    assert not one.is_usable

    clock.now += 5.0
    one.succeeded()
    assert one.problem is None


def test_a_pause_that_is_asked_for_has_a_bound(clock: Clock) -> None:
    one = endpoint(clock)

    one.failed(Throttled("429", retry_after_seconds=1e9))

    assert one.retry_in_seconds <= MAX_PAUSE_SECONDS * 1.25


def test_the_back_off_doubles_up_to_its_bound(clock: Clock) -> None:
    one = endpoint(clock)
    one.failed(DOWN)
    pauses = []
    for _ in range(8):
        one.failed(DOWN)
        pauses.append(one.retry_in_seconds)
        clock.now += one.retry_in_seconds
        one.begin_probe()

    bounds = [min(MAX_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2**step) for step in range(8)]
    assert all(bound / 2 <= pause <= bound for pause, bound in zip(pauses, bounds, strict=True))


def test_many_clients_that_fail_of_one_cause_count_once(clock: Clock) -> None:
    one = endpoint(clock)

    for _ in range(50):
        one.failed(DOWN)

    assert one.retry_in_seconds <= FIRST_BACKOFF_SECONDS
    assert one.failures["EngineUnavailable"] == 50


def test_after_the_back_off_one_client_tries_and_the_others_wait_for_it(clock: Clock) -> None:
    one = endpoint(clock)
    break_down(one)
    clock.now += MAX_BACKOFF_SECONDS

    assert one.is_usable
    one.begin_probe()

    assert not one.is_usable
    assert one.retry_in_seconds == 0.0, "nobody waits longer than this client does"
    one.opened(0.2)
    assert one.is_usable
    assert one.problem is None


def test_a_probe_that_never_tells_its_end_gives_way_to_another(clock: Clock) -> None:
    one = endpoint(clock)
    break_down(one)
    clock.now += MAX_BACKOFF_SECONDS
    one.begin_probe()

    clock.now += PROBE_SECONDS

    assert one.is_usable


def test_a_probe_that_is_given_up_gives_way_at_once(clock: Clock) -> None:
    one = endpoint(clock)
    break_down(one)
    clock.now += MAX_BACKOFF_SECONDS
    one.begin_probe()

    one.end_probe()

    assert one.is_usable


def test_an_endpoint_that_only_connects_is_left_again_for_longer(clock: Clock) -> None:
    one = endpoint(clock)
    break_down(one)
    clock.now += one.retry_in_seconds
    one.begin_probe()
    one.opened(0.2)

    one.failed(EngineTimeout("no first chunk"))

    assert one.retry_in_seconds > FIRST_BACKOFF_SECONDS / 2
    assert not one.is_usable


def test_new_credentials_are_tried_at_once(clock: Clock) -> None:
    one = endpoint(clock)
    one.failed(DENIED)

    one.reset()

    assert one.is_usable
    assert one.problem is None


def test_that_it_is_left_is_told_once(clock: Clock) -> None:
    one = endpoint(clock)
    told: list[Endpoint] = []
    one.on_left(told.append)

    for _ in range(5):
        one.failed(DOWN)

    assert told == [one]


def test_without_a_credential_it_is_not_used_and_says_which_setting_it_lacks(clock: Clock) -> None:
    class Late(CredentialSource):
        def come(self) -> None:
            self._set(Credential(kind="key", secret="b" * 32))

    credentials = Late("AZURE_SPEECH_KEY_FILE")
    one = endpoint(clock, credentials=credentials)
    assert not one.is_usable
    with pytest.raises(AuthenticationFailed, match="AZURE_SPEECH_KEY_FILE has no credential yet"):
        EndpointList(Work.SYNTHESIS, [one]).choose()

    credentials.come()

    assert one.is_usable
    assert one.problem is None


async def test_why_is_answered_by_whoever_was_named(clock: Clock) -> None:
    assert await endpoint(clock).why() is DENIED


# --- the choice ----------------------------------------------------------------------------------------------------


def test_each_endpoint_gets_its_share(clock: Clock) -> None:
    assert chosen(endpoints(clock, westeurope=3, northeurope=1), 40) == {"westeurope": 30, "northeurope": 10}


def test_few_clients_are_spread_as_many_are(clock: Clock) -> None:
    assert chosen(endpoints(clock, westeurope=2, northeurope=1), 3) == {"westeurope": 2, "northeurope": 1}


def test_weight_zero_is_used_only_when_no_other_works(clock: Clock) -> None:
    many = endpoints(clock, westeurope=1, northeurope=0)
    assert chosen(many, 5) == {"westeurope": 5}

    break_down(next(iter(many)))

    assert chosen(many, 5) == {"northeurope": 5}


def test_what_fails_gets_nothing_and_one_client_when_it_is_time(clock: Clock) -> None:
    many = endpoints(clock, westeurope=1, northeurope=1)
    first = next(iter(many))
    break_down(first)
    assert chosen(many, 6) == {"northeurope": 6}

    clock.now += MAX_BACKOFF_SECONDS

    assert chosen(many, 6) == {"northeurope": 5, "westeurope": 1}
    first.opened(0.1)
    assert chosen(many, 6) == {"northeurope": 3, "westeurope": 3}


def test_what_a_client_has_tried_is_not_chosen_for_it_again(clock: Clock) -> None:
    many = endpoints(clock, westeurope=1, northeurope=0)
    first, second = many

    assert many.choose([first]) is second
    assert many.can_choose([first])
    assert not many.can_choose([first, second])
    with pytest.raises(EngineUnavailable):
        many.choose([first, second])


def test_has_other_tells_whether_clients_have_somewhere_to_go(clock: Clock) -> None:
    many = endpoints(clock, westeurope=1, northeurope=0)
    first, second = many

    assert many.has_other(first)
    break_down(second)
    assert not many.has_other(first)


def test_when_none_works_the_error_says_why_and_when(clock: Clock) -> None:
    many = endpoints(clock, westeurope=1, northeurope=0)
    first, second = many
    break_down(first)
    second.failed(DENIED)

    with pytest.raises(
        EngineUnavailable, match=r"synthesis.*next attempt is in 0\.\d s.*westeurope: connection ref"
    ) as up:
        many.choose()

    assert "northeurope: AZURE_SPEECH_KEY is refused" in str(up.value)
    assert many.problem == "westeurope: connection refused; northeurope: AZURE_SPEECH_KEY is refused"


def test_when_all_are_throttled_the_caller_learns_when_to_try_again(clock: Clock) -> None:
    many = endpoints(clock, westeurope=1, northeurope=1)
    for each, seconds in zip(many, (30.0, 5.0), strict=True):
        each.failed(Throttled("429", retry_after_seconds=seconds))

    with pytest.raises(Throttled) as refused:
        many.choose()

    assert 5.0 <= refused.value.retry_after_seconds <= 6.25


def test_when_all_refuse_the_credentials_the_error_says_so(clock: Clock) -> None:
    many = endpoints(clock, westeurope=1)
    next(iter(many)).failed(DENIED)

    with pytest.raises(AuthenticationFailed, match="AZURE_SPEECH_KEY"):
        many.choose()


def test_there_is_no_problem_while_one_works(clock: Clock) -> None:
    many = endpoints(clock, westeurope=1, northeurope=1)

    break_down(next(iter(many)))

    assert many.problem is None
    assert EndpointList(Work.RECOGNITION, []).problem is None
