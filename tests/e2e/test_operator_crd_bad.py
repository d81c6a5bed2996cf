"""Every wrong SpeechPool is refused by the API server itself, with a message that names the field and the bound."""

import pytest
from tests.cluster.apiserver import ApiError, ApiServer
from tests.cluster.speechpools import manifest, try_create
from tests.unit.control.bad_specs import BAD_SPECS


@pytest.mark.parametrize("name", BAD_SPECS)
def test_a_wrong_spec_is_refused_by_its_field_and_bound(pools_api: ApiServer, name: str):
    bad = BAD_SPECS[name]
    with pytest.raises(ApiError) as refused:
        try_create(pools_api, manifest(bad.spec))
    assert refused.value.status in {400, 422}
    missing = [part for part in bad.said if part not in refused.value.message]
    assert not missing, refused.value.message
