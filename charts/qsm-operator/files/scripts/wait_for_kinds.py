"""At the first install: wait until the API server serves the kinds this release brings. Standard library only.

Helm asks for the list of kinds once, and the API server needs a second or two to put new ones on it. Any account may
read it.
"""

import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

ACCOUNT = Path(os.environ.get("QSM_ACCOUNT", "/var/run/secrets/kubernetes.io/serviceaccount"))
KINDS = ("QSMJob", "QSMPipeline", "QSMRoute")
# The list as Helm reads it: all groups with their kinds in one answer.
ACCEPT = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
WAIT_SECONDS = float(os.environ.get("QSM_WAIT_SECONDS", "60"))
OTHER_SERVERS_SECONDS = 2.0
"""Where there are several API servers, each learns of a new kind on its own."""


def missing() -> str:
    """The kinds that are not on the list yet, or why it cannot be read."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    address = f"[{host}]" if ":" in host else host
    headers = {"Authorization": f"Bearer {(ACCOUNT / 'token').read_text().strip()}", "Accept": ACCEPT}
    request = urllib.request.Request(f"https://{address}:{port}/apis", headers=headers)
    try:
        context = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
        with urllib.request.urlopen(request, timeout=10, context=context) as answer:
            text = answer.read().decode()
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        return f"the API server does not answer: {error}"
    return ", ".join(kind for kind in KINDS if f'"kind":"{kind}"' not in text.replace(" ", ""))


def main() -> None:
    """Wait, at most as long as it makes sense."""
    until = time.monotonic() + WAIT_SECONDS
    while wanting := missing():
        if time.monotonic() > until:
            sys.exit(f"not served after {WAIT_SECONDS:g} s: {wanting}")
        time.sleep(0.5)
    time.sleep(OTHER_SERVERS_SECONDS)
    print("all kinds are served")


if __name__ == "__main__":
    main()
