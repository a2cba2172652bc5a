"""The door to object stores against real ones, through a proxy that misbehaves: same tests for Ceph and MinIO."""

import datetime as dt
import hashlib
import io
import json
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import minio.time
import pytest
import urllib3
from minio import MinioAdmin
from minio.commonconfig import ENABLED, Filter
from minio.credentials import Credentials, StaticProvider
from minio.lifecycleconfig import Expiration, LifecycleConfig, Rule
from minio.signer import sign_v4_sts
from misbehaving_proxy import SLOW_DOWN, Fault, Proxy, saying
from ports_for_tests import free_port
from stores_for_tests import ACCESS, SECRET, ObjectStore

from qsm_recon.errors import ReconError
from qsm_recon.transfer.s3 import Bucket, Expiry
from qsm_recon.transfer.s3_folder import deliver, fetch, find_record, is_empty
from qsm_recon.transfer.s3_patience import Patience

pytestmark = pytest.mark.e2e

QUICK = Patience(connect_s=1, read_s=2, tries=3, total_s=10, first_pause_s=0.05, longest_pause_s=0.1)
READER_SECRET = "reader-secret"  # noqa: S105 - of a server that lives for this test
BIG = bytes(range(256)) * (40 << 12)  # 40 MiB: three parts


@pytest.fixture(scope="module")
def name(object_store: ObjectStore) -> str:
    return object_store.new_bucket()


@pytest.fixture
def proxy(object_store: ObjectStore) -> Iterator[Proxy]:
    with Proxy(object_store.address) as proxy:
        yield proxy


@pytest.fixture
def straight(object_store: ObjectStore, name: str, tmp_path: Path) -> Bucket:
    return Bucket.at(object_store.connection(tmp_path / "straight"), f"s3://{name}/p/{tmp_path.name}", QUICK)


@pytest.fixture
def through(object_store: ObjectStore, name: str, tmp_path: Path, proxy: Proxy) -> Bucket:
    connection = object_store.connection(tmp_path / "through", endpoint=proxy.endpoint)
    return Bucket.at(connection, f"s3://{name}/p/{tmp_path.name}", QUICK)


def put(bucket: Bucket, key: str, content: bytes) -> None:
    bucket.put(key, lambda: io.BytesIO(content), len(content), hashlib.sha256(content).hexdigest())


def fails(action: Callable[[], Any]) -> tuple[str, int]:
    with pytest.raises(ReconError) as caught:
        action()
    return caught.value.reason, caught.value.exit_code


def test_objects_come_back_as_they_went(straight: Bucket, tmp_path: Path) -> None:
    for size in (0, 1, 5, len(BIG)):
        put(straight, f"objects/{size}", BIG[:size])
    assert [(entry.name, entry.bytes) for entry in straight.entries("objects/")] == [
        (f"objects/{size}", size) for size in (0, 1, len(BIG), 5)
    ]
    assert straight.get("objects/5", 5) == BIG[:5]
    assert straight.get("objects/5", 4) is None, "longer than the limit"
    assert straight.get("objects/6", 4) is None, "not there"
    straight.get_file(f"objects/{len(BIG)}", tmp_path / "big")
    assert (tmp_path / "big").read_bytes() == BIG
    straight.remove("objects/5")
    straight.remove("objects/5")
    assert straight.get("objects/5", 5) is None


@pytest.mark.parametrize("fault", ["slow", "cut up", "cut down", "flip up", "flip down", "refused at first"])
def test_what_passes_is_tried_again(
    straight: Bucket, through: Bucket, proxy: Proxy, tmp_path: Path, fault: str
) -> None:
    put(straight, "there", BIG[:3_000_000])
    proxy.fault = {
        "slow": Fault(answer=SLOW_DOWN, times=2),
        "cut up": Fault(cut_up_after=2_000_000, times=2),
        "cut down": Fault(cut_down_after=1_000_000, times=1),
        "flip up": Fault(flip_up_at=1_000_000, times=1),
        "flip down": Fault(flip_down_at=1_000_000, times=1),
        "refused at first": Fault(cut_up_after=0, times=1),
    }[fault]
    put(through, "made", BIG)
    through.get_file("there", tmp_path / "there")
    assert (tmp_path / "there").read_bytes() == BIG[:3_000_000]
    straight.get_file("made", tmp_path / "made")
    assert (tmp_path / "made").read_bytes() == BIG


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(hang=True), "StoreTimedOut"),
        (Fault(answer=SLOW_DOWN), "StoreBusy"),
        (Fault(cut_up_after=300_000), "StoreUnreachable"),
        (Fault(flip_up_at=1_000_000, again_every=1_000_000), "ObjectDamaged"),
    ],
    ids=["hangs", "slow down", "cut in the middle", "flipped bit"],
)
def test_what_does_not_pass_ends_in_its_reason_and_leaves_nothing(
    straight: Bucket, through: Bucket, proxy: Proxy, fault: Fault, reason: str
) -> None:
    proxy.fault = fault
    start = time.monotonic()
    assert fails(lambda: put(through, "never", BIG[:5_000_000])) == (reason, 75)
    assert time.monotonic() - start < 15, "bounded"
    assert proxy.connections <= 2 * QUICK.tries, "a few tries"
    assert list(straight.entries("never")) == []


def test_a_cut_in_a_later_part_leaves_nothing(straight: Bucket, through: Bucket, proxy: Proxy) -> None:
    proxy.fault = Fault(cut_up_after=9_000_000)
    assert fails(lambda: put(through, "never", BIG)) == ("StoreUnreachable", 75)
    assert list(straight.entries("never")) == []


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(hang=True), "StoreTimedOut"),
        (Fault(cut_down_after=500_000), "StoreUnreachable"),
        (Fault(flip_down_at=700_000, again_every=500_000), "ObjectDamaged"),
    ],
    ids=["hangs", "cut", "flipped bit"],
)
def test_reading_ends_in_its_reason(
    straight: Bucket, through: Bucket, proxy: Proxy, tmp_path: Path, fault: Fault, reason: str
) -> None:
    put(straight, "there", BIG[:1_000_000])
    proxy.fault = fault
    assert fails(lambda: through.get_file("there", tmp_path / "got")) == (reason, 75)
    if reason == "ObjectDamaged":
        assert not (tmp_path / "got").exists()


def test_who_we_are_and_where(object_store: ObjectStore, name: str, tmp_path: Path) -> None:
    def bucket(uri: str, **values: str) -> Bucket:
        return Bucket.at(object_store.connection(tmp_path / secrets.token_hex(4), **values), uri, QUICK)

    good = f"s3://{name}/x"
    # With STS switched on, Ceph says of wrong credentials only that access is denied.
    unknown = "StoreCredentials" if object_store.kind == "minio" else "StoreDenied"
    assert fails(bucket(good, AWS_ACCESS_KEY_ID="nobody").check) == (unknown, 78)
    assert fails(bucket(good, AWS_SECRET_ACCESS_KEY=READER_SECRET).check) == (unknown, 78)
    assert fails(bucket("s3://qsm-no-such-bucket/x").check) == ("StoreBucketMissing", 78)
    assert fails(lambda: put(bucket("s3://qsm-no-such-bucket/x"), "a", b"a")) == ("StoreBucketMissing", 78)
    assert fails(bucket(good, AWS_SESSION_TOKEN=READER_SECRET).check)[0] in {
        "StoreTokenExpired",
        "StoreRefused",
        unknown,
    }
    assert fails(bucket(good, endpoint=f"http://127.0.0.1:{free_port()}").check) == ("StoreUnreachable", 75)
    assert fails(bucket(good, endpoint=object_store.endpoint.replace("http:", "https:")).check) == (
        "StoreCertificate",
        78,
    )
    for bad in ("ftp://h:1", "http://h:1/path", "http://user:pw@h:1", "h:1", "http://h:notaport", "http://h:1?x=1"):
        assert fails(lambda bad=bad: bucket(good, endpoint=bad)) == ("InvalidConnection", 78)
    for bad in ("s3:/x", "http://b/x", "s3://UPPER/x", "s3://b/../x", "s3://b/a/\nb"):
        assert fails(lambda bad=bad: bucket(bad)) == ("InvalidConnection", 78)
    assert fails(lambda: bucket(good, addressing="sideways")) == ("InvalidConnection", 78)
    assert fails(lambda: bucket(good, encryption="rot13")) == ("InvalidConnection", 78)


def test_a_clock_that_is_wrong(straight: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    now = minio.time.utcnow
    monkeypatch.setattr(minio.time, "utcnow", lambda: now() + dt.timedelta(hours=2))
    assert fails(straight.check) == ("StoreClockSkew", 75)


@pytest.mark.parametrize(
    "answer",
    [
        saying("200 OK", b"<html>hello</html>", "text/html"),
        saying("404 Not Found", b"<html>no</html>", "text/html"),
        saying("302 Found", b"", "text/html"),
        saying("200 OK", b"{}", "application/json"),
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ],
    ids=["page", "page not found", "redirect", "json", "ssh"],
)
def test_an_endpoint_that_is_no_store(through: Bucket, proxy: Proxy, answer: bytes) -> None:
    proxy.fault = Fault(answer=answer)
    assert fails(through.check) == ("StoreInvalid", 78)


def test_a_bucket_that_may_only_be_read(object_store: ObjectStore, name: str, straight: Bucket, tmp_path: Path) -> None:
    put(straight, "there", b"seen")
    reader = _second_user(object_store, name)
    connection = object_store.connection(
        tmp_path / "reader", AWS_ACCESS_KEY_ID=reader, AWS_SECRET_ACCESS_KEY=READER_SECRET
    )
    bucket = Bucket.at(connection, f"s3://{name}/p/{tmp_path.name}", QUICK)
    bucket.check()
    assert bucket.get("there", 10) == b"seen"
    assert fails(lambda: put(bucket, "mine", b"x")) == ("StoreReadOnly", 78)
    assert fails(lambda: put(bucket, "mine", BIG)) == ("StoreReadOnly", 78)
    assert fails(lambda: bucket.remove("there")) == ("StoreReadOnly", 78)


def test_a_bucket_one_may_not_see(object_store: ObjectStore, name: str, tmp_path: Path) -> None:
    reader = _second_user(object_store, name)
    other = object_store.new_bucket()
    connection = object_store.connection(
        tmp_path / "reader", AWS_ACCESS_KEY_ID=reader, AWS_SECRET_ACCESS_KEY=READER_SECRET
    )
    assert fails(Bucket.at(connection, f"s3://{other}/x", QUICK).check) == ("StoreDenied", 78)


def _second_user(object_store: ObjectStore, bucket: str) -> str:
    """A user that may read `bucket` and nothing else."""
    actions = ["s3:GetObject", "s3:ListBucket"]
    resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    if object_store.kind == "ceph":
        words = ["user", "create", "--uid=reader", "--display-name=reader"]
        if "reader" not in object_store.admin("user", "list"):
            object_store.admin(*words, "--access-key=reader", f"--secret-key={READER_SECRET}")
        who = {"AWS": ["arn:aws:iam:::user/reader"]}
        statement = {"Effect": "Allow", "Principal": who, "Action": actions, "Resource": resources}
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        object_store.client().set_bucket_policy(bucket, json.dumps(policy))
    else:
        admin = _minio_admin(object_store)
        statement = {"Effect": "Allow", "Action": actions, "Resource": resources}
        admin.policy_add("reader", policy={"Version": "2012-10-17", "Statement": [statement]})
        admin.user_add("reader", READER_SECRET)
        admin.policy_set("reader", user="reader")
    return "reader"


def _assumed(object_store: ObjectStore, bucket: str, prefix: str) -> dict[str, str]:
    """Temporary credentials by AssumeRole, limited to a prefix as docs/store.md says."""
    below, actions = f"arn:aws:s3:::{bucket}/{prefix}/*", ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"]
    listing = {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{bucket}"}
    listing["Condition"] = {"StringLike": {"s3:prefix": [f"{prefix}/*"]}}  # type: ignore[assignment]
    statements = [{"Effect": "Allow", "Action": actions, "Resource": below}, listing]
    # Without blanks: Ceph 16.2 takes the + of the form's encoding for itself.
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))
    arn = "arn:xxx:xxx:xxx:xxxx"
    if object_store.kind == "ceph":
        who = {"Effect": "Allow", "Principal": {"AWS": ["arn:aws:iam:::user/qsmtest"]}, "Action": ["sts:AssumeRole"]}
        all_s3 = {"Effect": "Allow", "Action": ["s3:*"], "Resource": ["arn:aws:s3:::*"]}
        version = "2012-10-17"
        trust = json.dumps({"Version": version, "Statement": [who]})
        object_store.admin("role", "create", "--role-name=recon", f"--assume-role-policy-doc={trust}")
        given = json.dumps({"Version": version, "Statement": [all_s3]})
        object_store.admin("role", "policy", "put", "--role-name=recon", "--policy-name=p", f"--policy-doc={given}")
        arn = "arn:aws:iam:::role/recon"
    form = urlencode(
        {
            "Action": "AssumeRole",
            "Version": "2011-06-15",
            "DurationSeconds": "900",
            "RoleArn": arn,
            "RoleSessionName": "job",
            "Policy": policy,
        }
    )
    now, digest = minio.time.utcnow(), hashlib.sha256(form.encode()).hexdigest()
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Host": object_store.endpoint.rpartition("/")[2],
        "X-Amz-Date": minio.time.to_amz_date(now),
    }
    url = urlsplit(f"{object_store.endpoint}/")
    signed = sign_v4_sts(
        method="POST",
        url=url,
        region="us-east-1",
        headers=headers,
        credentials=Credentials(ACCESS, SECRET),
        content_sha256=digest,
        date=now,
    )
    answer = urllib3.request("POST", url.geturl(), body=form, headers=signed)
    text = answer.data.decode()
    assert answer.status == 200, text
    names = {
        "AccessKeyId": "AWS_ACCESS_KEY_ID",
        "SecretAccessKey": "AWS_SECRET_ACCESS_KEY",
        "SessionToken": "AWS_SESSION_TOKEN",
    }
    return {ours: re.findall(f"<{theirs}>([^<]+)<", text)[0] for theirs, ours in names.items()}


def test_temporary_credentials_for_one_prefix_suffice(object_store: ObjectStore, name: str, tmp_path: Path) -> None:
    values = _assumed(object_store, name, "jobs/one")
    connection = object_store.connection(tmp_path / "c", **values)
    bucket = Bucket.at(connection, f"s3://{name}/jobs/one", QUICK)
    bucket.check()
    assert bucket.get("not/there", 10) is None
    put(bucket, "small", b"abc")
    put(bucket, "big", BIG)
    assert bucket.get("small", 3) == b"abc"
    assert [entry.name for entry in bucket.entries("")] == ["big", "small"]
    object_store.client().put_object(name, "jobs/two/a", io.BytesIO(b"a"), 1)
    elsewhere = Bucket.at(connection, f"s3://{name}/jobs/two", QUICK)
    assert fails(elsewhere.check) == ("StoreDenied", 78)
    assert fails(lambda: elsewhere.get("a", 1)) == ("StoreDenied", 78)
    assert fails(lambda: put(elsewhere, "a", b"a")) == ("StoreReadOnly", 78)
    assert fails(lambda: bucket.remove("small")) == ("StoreReadOnly", 78), "the policy of this test allows none"


def _minio_admin(object_store: ObjectStore) -> MinioAdmin:
    address = object_store.endpoint.rpartition("/")[2]
    return MinioAdmin(endpoint=address, credentials=StaticProvider(ACCESS, SECRET), secure=False)


def test_a_quota_that_is_reached_half_way(object_store: ObjectStore, tmp_path: Path) -> None:
    name = object_store.new_bucket()
    bucket = Bucket.at(object_store.connection(tmp_path / "c"), f"s3://{name}/x", QUICK)
    if object_store.kind == "ceph":
        words = ["--uid=qsmtest", f"--bucket={name}", "--quota-scope=bucket"]
        object_store.admin("quota", "set", *words, "--max-size=30M")
        object_store.admin("quota", "enable", *words)
    else:
        admin = _minio_admin(object_store)
        admin.bucket_quota_set(name, 10 << 20)  # less than a part: MinIO counts what is there only now and then
    assert fails(lambda: put(bucket, "big", BIG)) == ("StoreFull", 75)
    assert list(bucket.entries("")) == []


def test_lifecycle_rules_leave_those_of_others(straight: Bucket, object_store: ObjectStore, name: str) -> None:
    theirs = Rule(ENABLED, rule_filter=Filter(prefix="theirs/"), rule_id="theirs", expiration=Expiration(days=9))
    object_store.client().set_bucket_lifecycle(name, LifecycleConfig([theirs]))
    straight.set_expiries((Expiry("interim", "interim/", 30), Expiry("failed", "failed/", 7)))
    straight.set_expiries((Expiry("interim", "interim/", 20),))
    assert straight.expiries() == (Expiry("interim", "interim/", 20),)
    config = object_store.client().get_bucket_lifecycle(name)
    assert config is not None
    assert "theirs" in {rule.rule_id for rule in config.rules}
    assert len(config.rules) == 2


def test_a_folder_goes_and_comes(object_store: ObjectStore, name: str, tmp_path: Path) -> None:
    connection, uri = object_store.connection(tmp_path / "c"), f"s3://{name}/folder"
    made = tmp_path / "made"
    (made / "dicom" / "chi").mkdir(parents=True)
    for number in range(30):
        (made / "dicom" / "chi" / f"{number:03d}.dcm").write_bytes(bytes([number]) * 5000)
    assert is_empty(connection, uri)
    assert find_record(connection, uri) is None
    assert fails(lambda: fetch(connection, uri, tmp_path / "none")) == ("SourceMissing", 75)
    deliver(connection, uri, made, {"job": {"uid": "u-1"}})
    assert find_record(connection, uri) == {"job": {"uid": "u-1"}}
    assert not is_empty(connection, uri)
    seen: list[float] = []
    fetch(connection, f"{uri}/dicom", tmp_path / "got", seen.append)
    got = {path.name: path.read_bytes() for path in (tmp_path / "got" / "chi").iterdir()}
    assert got == {path.name: path.read_bytes() for path in (made / "dicom" / "chi").iterdir()}
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


@pytest.mark.parametrize("names", [("a", "a/b"), ("a//b", "c"), (".hidden", "DOE^JOHN")])
def test_names_that_are_no_files_are_numbered(
    object_store: ObjectStore, name: str, tmp_path: Path, names: tuple[str, ...]
) -> None:
    prefix = f"odd/{secrets.token_hex(4)}"
    if names[0] != ".hidden" and object_store.kind == "minio":
        pytest.skip("MinIO takes no such names")
    for one in names:
        object_store.client().put_object(name, f"{prefix}/{one}", io.BytesIO(one.encode()), len(one))
    fetch(object_store.connection(tmp_path / "c"), f"s3://{name}/{prefix}", tmp_path / "got")
    assert {path.name for path in (tmp_path / "got").iterdir()} == {"000001", "000002"}
    assert {path.read_text() for path in (tmp_path / "got").iterdir()} == set(names)


def test_the_record_is_written_last(object_store: ObjectStore, name: str, tmp_path: Path, proxy: Proxy) -> None:
    connection, uri = object_store.connection(tmp_path / "c", endpoint=proxy.endpoint), f"s3://{name}/cut"
    made = tmp_path / "made"
    made.mkdir()
    (made / "a").write_bytes(b"a" * 1000)
    proxy.fault = Fault(answer=saying("403 Forbidden", b"<Error><Code>AccessDenied</Code></Error>"))
    assert fails(lambda: deliver(connection, uri, made, {})) == ("StoreReadOnly", 78)
    proxy.fault = Fault()
    assert find_record(connection, uri) is None


def test_virtual_style_puts_the_bucket_into_the_name(
    object_store: ObjectStore, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if object_store.kind == "ceph":
        pytest.skip("this gateway is started without a domain of its own")
    resolve = socket.getaddrinfo
    asked: list[str] = []

    def here(host: str, *rest: Any, **more: Any) -> Any:
        asked.append(host)
        return resolve("127.0.0.1" if host.endswith("store.test") else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", here)
    port = object_store.address[1]
    connection = object_store.connection(tmp_path / "c", endpoint=f"http://store.test:{port}", addressing="virtual")
    bucket = Bucket.at(connection, f"s3://{name}/virtual", QUICK)
    put(bucket, "a", b"abc")
    assert bucket.get("a", 3) == b"abc"
    assert asked
    assert set(asked) == {f"{name}.store.test"}


def test_encryption_is_asked_for(object_store: ObjectStore, name: str, tmp_path: Path) -> None:
    connection = object_store.connection(tmp_path / "c", encryption="AES256")
    bucket = Bucket.at(connection, f"s3://{name}/sealed", QUICK)
    if object_store.kind == "ceph":
        pytest.skip("encryption by the server's own keys came with a later Ceph than this")
    put(bucket, "a", b"abc")
    assert bucket.get("a", 3) == b"abc"
    bucket.get_file("a", tmp_path / "a")
    seen = object_store.client().stat_object(name, "sealed/a")
    assert seen.metadata is not None
    assert seen.metadata["x-amz-server-side-encryption"] == "AES256"


def test_many_threads_share_a_bucket(straight: Bucket) -> None:
    def work(number: int) -> None:
        put(straight, f"threads/{number}", bytes([number]) * 100_000)
        assert straight.get(f"threads/{number}", 100_000) == bytes([number]) * 100_000

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(list(straight.entries("threads/"))) == 12
