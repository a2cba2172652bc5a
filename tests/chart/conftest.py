"""Both Helms: a test that asks for `helm_name` runs once with each."""

import pytest


@pytest.fixture(params=["helm", "helm3"])
def helm_name(request) -> str:
    return request.param
