"""`qsm-operator status`: do maps flow, what is stuck, why; asked of the cluster, without Prometheus."""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from qsm_operator.cluster.asking import ApiError
from qsm_operator.cluster.credentials import Credentials, CredentialsError, find_credentials
from qsm_operator.cluster.door import Cluster
from qsm_operator.cluster.transport import HttpTransport
from qsm_operator.status.overview import Overview, overview
from qsm_operator.status.text import page

EX_UNAVAILABLE = 69
EX_CONFIG = 78
_TIMEOUT_SECONDS = 10.0


def run(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> int:
    """Print the page; the exit code. 0 also where there is something to look at: 1 only with --check."""
    said = _parser().parse_args(arguments)
    try:
        found = asyncio.run(_ask(find_credentials(environment), said.namespace))
    except CredentialsError as error:
        sys.stderr.write(f"qsm-operator: {error}\n")
        return EX_CONFIG
    except ApiError as error:
        sys.stderr.write(f"qsm-operator: the cluster does not tell: {error}\n")
        return EX_UNAVAILABLE
    if said.json:
        sys.stdout.write(json.dumps(asdict(found), indent=2) + "\n")
    else:
        where = f"namespace {said.namespace}" if said.namespace else "all namespaces"
        sys.stdout.write(page(found, where, datetime.now(UTC)))
    return 1 if said.check and found.hints else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="qsm-operator status", description="What a person must know in one minute.")
    parser.add_argument("-n", "--namespace", default="", help="look at one namespace (default: all)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    parser.add_argument("--check", action="store_true", help="end with 1 where there is something to look at")
    return parser


async def _ask(credentials: Credentials, namespace: str) -> Overview:
    transport = HttpTransport(credentials, _TIMEOUT_SECONDS)
    try:
        cluster = Cluster(transport, longest_pause_seconds=1.0)
        kinds = ("qsmjobs", "qsmroutes", "qsmpipelines")
        jobs, routes, pipelines = [(await cluster.list(kind, namespace)).items for kind in kinds]
        return overview(jobs, routes, pipelines, datetime.now(UTC))
    finally:
        await transport.close()
