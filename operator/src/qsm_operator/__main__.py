"""Start of the operator's program: settings, log, and everything that runs, put together."""

import asyncio
import json
import logging
import os
import socket
import sys
from importlib.metadata import version

import kopf

from qsm_operator.cluster import Cluster
from qsm_operator.credentials import CredentialsError, find_credentials
from qsm_operator.handlers import make_registry, make_settings
from qsm_operator.metrics import Metrics
from qsm_operator.operating import Operating
from qsm_operator.serving import serve
from qsm_operator.settings import Settings, SettingsError, read_settings
from qsm_operator.transport import HttpTransport

EX_USAGE = 64
EX_CONFIG = 78

logger = logging.getLogger("qsm_operator")


class JsonLines(logging.Formatter):
    """One JSON object per line. Only what we put there ourselves: no specifications, no UIDs, nothing of a patient."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: getattr(record, name) for name in ("namespace", "qsmjob", "attempt") if hasattr(record, name)}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


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
            # kopf would ask for the user's name, and the user of a container need not have one.
            identity=socket.gethostname(),  # type: ignore[arg-type]  # kopf does not export its name for a string
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
        case _:
            sys.stderr.write("usage: qsm-operator run | version    (settings: QSM_OPERATOR_... in the environment)\n")
            sys.exit(EX_USAGE)


def _run() -> None:
    try:
        settings = read_settings(os.environ)
        handler = logging.StreamHandler()
        handler.setFormatter(JsonLines())
        logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
        # kopf's own log speaks of every object and may quote it.
        logging.getLogger("kopf").setLevel(max(logging.WARNING, logging.getLevelName(settings.log_level)))
        asyncio.run(operate(settings))
    except (SettingsError, CredentialsError) as error:
        sys.stderr.write(f"qsm-operator: {error}\n")
        sys.exit(EX_CONFIG)


if __name__ == "__main__":
    main()
