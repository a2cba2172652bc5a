import base64
import json
import shutil
import subprocess
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qsm_operator.cluster.credentials import Credentials
from qsm_operator.cluster.expiry import expiries, file_end, token_end


def token(**claims):
    middle = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJh.{middle}.c2ln"


def certificate(folder, name, days):
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    path = folder / name
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-subj", "/CN=x", "-days", str(days), "-keyout", str(folder / "key"), "-out", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    said = subprocess.run(
        ["openssl", "x509", "-noout", "-enddate", "-in", str(path)], check=True, capture_output=True, text=True
    ).stdout
    end = datetime.strptime(said.strip().removeprefix("notAfter=") + " +0000", "%b %d %H:%M:%S %Y GMT %z")
    return path, end.timestamp()


@pytest.mark.parametrize("days", [1, 3650, 20000])  # the last is beyond 2049: another form of time
def test_a_certificate_ends_when_openssl_says(tmp_path, days):
    path, end = certificate(tmp_path, "a.pem", days)
    assert file_end(path) == end


def test_of_several_certificates_the_first_that_ends(tmp_path):
    late, _ = certificate(tmp_path, "late.pem", 900)
    soon, end = certificate(tmp_path, "soon.pem", 20)
    both = tmp_path / "both.pem"
    both.write_text(late.read_text() + "\n" + soon.read_text())
    assert file_end(both) == end


def test_a_token_ends_when_it_says():
    assert token_end(token(exp=1_800_000_000, sub="x")) == 1_800_000_000


@pytest.mark.parametrize("text", ["", "a.b", "secret", "a.!!.c", token(), token(exp="soon"), token(exp=[1])])
def test_what_says_no_end(text):
    assert token_end(text) is None


@given(st.text(max_size=200))
def test_no_token_breaks_it(text):
    token_end(f"a.{text}.c")


@pytest.mark.parametrize("text", ["", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----", "\u00e9"])
def test_files_that_hold_no_certificate(tmp_path, text):
    path = tmp_path / "x"
    path.write_text(text)
    assert file_end(path) is None
    assert file_end(tmp_path / "absent") is None


def test_each_credential_by_its_name(tmp_path):
    path, end = certificate(tmp_path, "ca.pem", 30)
    known = expiries(Credentials("https://x", ca_file=str(path), static_token=token(exp=5.0)))
    assert known == {"api_token": 5.0, "api_ca_certificate": end}
