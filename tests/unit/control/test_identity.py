"""What can be said of a token before the API server is asked."""

import pytest

from speechpool_operator.identity import IdentityRefused, Refusal, bearer


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic abc", "abc", "Token abc"])
def test_a_header_without_a_token_is_refused(header):
    with pytest.raises(IdentityRefused) as refused:
        bearer(header)
    assert refused.value.refusal is Refusal.NO_TOKEN


@pytest.mark.parametrize("header", ["Bearer abc", "bearer abc", "BEARER  abc "])
def test_the_scheme_is_read_in_any_case(header):
    assert bearer(header) == "abc"


def test_tokens_are_answered_with_401_and_pods_with_403():
    forbidden = {refusal for refusal in Refusal if refusal.status == 403}
    assert forbidden == {Refusal.POD_NOT_FOUND, Refusal.POD_REPLACED, Refusal.POD_TERMINATING}
    assert {refusal.status for refusal in Refusal} == {401, 403}
