"""Start of the operator's program: settings, log, and everything that runs, put together."""

import asyncio
import logging
import os
import sys
from importlib.metadata import version

import kopf

from qsm_operator import command_line
from qsm_operator.cluster import Cluster
from qsm_operator.credentials import CredentialsError, find_credentials
from qsm_operator.handlers import make_registry, make_settings
from qsm_operator.logs import set_up_logs
from qsm_operator.metrics import Metrics
from qsm_operator.operating import Operating
from qsm_operator.serving import serve
from qsm_operator.settings import Settings, SettingsError, read_settings
from qsm_operator.transport import HttpTransport

EX_USAGE = 64
EX_CONFIG = 78

logger = logging.getLogger("qsm_operator")


async def operate(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT."""
    credentials = find_credentials(os.environ)
    metrics = Metrics()
    metrics.build.labels(version("qsm-operator")).set(1)
    transport = HttpTransport(credentials, settings.request_timeout_seconds)
    work = Operating(settings, Cluster(transport, metrics.request), metrics)
    server = await serve(work, settings.http_host, settings.http_port) if settings.http_port else None
    starting = asyncio.create_task(work.start())
    try:
        # kopf installs the signal handlers and comes back once a signal has come.
        await kopf.operator(
            registry=make_registry(work, credentials),
            settings=make_settings(),
            standalone=True,
            clusterwide=not settings.namespaces,
            namespaces=settings.namespaces,
        )
    finally:
        logger.info("ends: finishing what is being looked at")
        starting.cancel()
        await work.stop()
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
        case ["route", *_]:
            sys.exit(command_line.run(sys.argv[1:]))
        case _:
            sys.stderr.write(
                "usage: qsm-operator run | version | route test    (settings: QSM_OPERATOR_... in the environment)\n"
            )
            sys.exit(EX_USAGE)


def _run() -> None:
    try:
        settings = read_settings(os.environ)
        set_up_logs(settings.log_level, settings.log_format)
        asyncio.run(operate(settings))
    except (SettingsError, CredentialsError) as error:
        sys.stderr.write(f"qsm-operator: {error}\n")
        sys.exit(EX_CONFIG)


if __name__ == "__main__":
    main()
