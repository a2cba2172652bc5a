"""Start of the operator's program: settings, log, and everything that runs, put together."""

import asyncio
import logging
import os
import sys
import time
from importlib.metadata import version

import kopf

from qsm_operator import status
from qsm_operator.cluster import Cluster
from qsm_operator.credentials import CredentialsError, find_credentials, own_namespace
from qsm_operator.expiry import expiries
from qsm_operator.handlers import make_registry, make_settings
from qsm_operator.leading import identity, lead
from qsm_operator.leases import Lease
from qsm_operator.logs import set_up_logs
from qsm_operator.metrics import Metrics
from qsm_operator.operating import Operating
from qsm_operator.serving import serve
from qsm_operator.settings import Settings, SettingsError, read_settings
from qsm_operator.transport import HttpTransport

EX_USAGE = 64
EX_TEMPFAIL = 75
EX_CONFIG = 78

logger = logging.getLogger("qsm_operator")


async def operate(settings: Settings) -> int:
    """Run until SIGTERM, SIGINT, or the loss of the Lease; the exit code."""
    credentials = find_credentials(os.environ)
    metrics = Metrics()
    metrics.build.labels(version("qsm-operator")).set(1)
    transport = HttpTransport(credentials, settings.request_timeout_seconds)
    cluster = Cluster(transport, metrics.request)
    work = Operating(settings, cluster, metrics)
    work.measures.append(lambda: metrics.credentials_end(expiries(credentials)))
    server = await serve(work, settings.http_host, settings.http_port) if settings.http_port else None

    async def run(lost: asyncio.Event) -> None:
        starting = asyncio.create_task(work.start())
        try:
            # kopf installs the signal handlers and comes back once a signal has come.
            await kopf.operator(
                registry=make_registry(work, credentials),
                settings=make_settings(),
                standalone=True,
                clusterwide=not settings.namespaces,
                namespaces=settings.namespaces,
                stop_flag=lost,
            )
        finally:
            starting.cancel()
            if lost.is_set():
                await work.drop()
            else:
                logger.info("ends: finishing what is being looked at")
                await work.stop()

    try:
        if not settings.leader_election:
            await run(asyncio.Event())
            return 0
        work.stands_by = True
        namespace = settings.lease_namespace or own_namespace()
        lease = Lease(cluster, namespace, settings.lease_name, identity(), time.monotonic)
        return EX_TEMPFAIL if await lead(lease, run) else 0
    finally:
        if server:
            await server.cleanup()
        await transport.close()


def main() -> None:
    """Run the verb on the command line."""
    match sys.argv[1:]:
        case ["version"] | ["--version"]:
            sys.stdout.write(f"qsm-operator {version('qsm-operator')}\n")
        case ["run"]:
            _run()
        case ["status", *rest]:
            sys.exit(status.run(rest))
        case _:
            sys.stderr.write(
                "usage: qsm-operator run | version | status    (settings: QSM_OPERATOR_... in the environment)\n"
            )
            sys.exit(EX_USAGE)


def _run() -> None:
    try:
        settings = read_settings(os.environ)
        set_up_logs(settings.log_level, settings.log_format)
        code = asyncio.run(operate(settings))
    except (SettingsError, CredentialsError) as error:
        sys.stderr.write(f"qsm-operator: {error}\n")
        sys.exit(EX_CONFIG)
    sys.exit(code)


if __name__ == "__main__":
    main()
