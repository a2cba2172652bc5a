import pytest

from qsm_operator.resources.quantities import from_bytes, to_bytes


@pytest.mark.parametrize(
    ("text", "amount"), [("16Gi", 2**34), ("512M", 512_000_000), ("1.5Gi", 3 * 2**29), (1024, 1024)]
)
def test_quantities(text, amount):
    assert to_bytes(text) == amount
    assert to_bytes(from_bytes(amount)) == amount
