"""The bound over all uploads."""

import pytest

from speechpool.errors import QuotaExceeded
from speechpool.web.budget import UploadBudget


def test_uploads_share_one_bound():
    budget = UploadBudget()
    budget.reserve(60, limit_bytes=100)
    with pytest.raises(QuotaExceeded) as caught:
        budget.reserve(50, limit_bytes=100)
    assert caught.value.code == "too_many_uploads"
    budget.release(60)
    budget.reserve(100, limit_bytes=100)
    assert budget.held_bytes == 100
