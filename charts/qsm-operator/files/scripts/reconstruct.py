"""For `helm test`: submit a QSMJob, tell how it goes, end with 0 when its map is there.

With the pod's own account. Environment: QSM_TEST_JOB (file with the QSMJob as JSON), QSM_TEST_SECONDS (how long it may
take). Standard library only.
"""

import json
import os
import random
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ACCOUNT = Path(os.environ.get("QSM_TEST_ACCOUNT", "/var/run/secrets/kubernetes.io/serviceaccount"))
REQUEST_SECONDS = 15
LATER = {429, 500, 502, 503, 504}


class RefusedError(Exception):
    """The API server does not do it; the message is its own."""


def call(method: str, path: str, body: Any = None, *, until: float) -> Any:
    """One request; where the API server is away or busy, again until `until` (time.monotonic)."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    address = f"[{host}]" if ":" in host else host
    context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {(ACCOUNT / 'token').read_text().strip()}", "Content-Type": "application/json"}
    while True:
        request = urllib.request.Request(f"https://{address}:{port}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_SECONDS, context=context) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            said = error.read(4096).decode("utf-8", "replace")
            if error.code not in LATER or time.monotonic() > until:
                raise RefusedError(f"{method} {path}: {error.code} {said}") from None
        except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
            if time.monotonic() > until:
                raise RefusedError(f"{method} {path}: {error}") from None
        time.sleep(1 + random.random())


def complete(job: dict[str, Any]) -> tuple[str, str, str]:
    """(status, reason, message) of the condition Complete; the operator has not seen the job where there is none."""
    for condition in job.get("status", {}).get("conditions", []):
        if condition["type"] == "Complete":
            return condition["status"], condition["reason"], condition.get("message", "")
    return (
        "Unknown",
        "NotSeen",
        "the operator has not looked at it yet: does it run, and does its scope cover this namespace?",
    )


def main() -> int:
    """Submit, watch, tell; the exit code."""
    job = json.loads(Path(os.environ["QSM_TEST_JOB"]).read_text())
    seconds = float(os.environ["QSM_TEST_SECONDS"])
    until = time.monotonic() + seconds
    jobs = f"/apis/{job['apiVersion']}/namespaces/{job['metadata']['namespace']}/qsmjobs"
    name = call("POST", jobs, job, until=until)["metadata"]["name"]
    print(f"QSMJob {name}", flush=True)
    told = None
    while time.monotonic() < until:
        status, reason, message = complete(call("GET", f"{jobs}/{name}", until=until))
        if reason != told:
            print(f"{reason}: {message}", flush=True)
            told = reason
        if status == "True":
            call("DELETE", f"{jobs}/{name}", until=until)
            return 0
        if status == "False":
            print(f"it stays for a look: kubectl describe qsmjob {name} -n {job['metadata']['namespace']}", flush=True)
            return 1
        time.sleep(2)
    print(f"not finished within {seconds:g} s, last seen: {told}; it stays for a look: kubectl describe qsmjob {name}")
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RefusedError as error:
        sys.exit(f"the API server refuses: {error}")
