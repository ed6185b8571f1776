"""Serve a trained model by the API that OpenAI's clients speak.

$ python -m llmcourse.serve runs/tuned                                   http://127.0.0.1:8000
$ LLMCOURSE_API_KEY=secret python -m llmcourse.serve runs/tuned --host 0.0.0.0
$ curl http://127.0.0.1:8000/v1/models
"""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from llmcourse import command_line
from llmcourse.errors import UserError, complain, exit_on_user_error, listen_to_interrupts, say
from llmcourse.serve.settings import Options, is_loopback

if TYPE_CHECKING:
    from llmcourse.serve.service import Service

FLUSH_SECONDS = 5
"""How long the last answers may take to reach slow clients, once they are written."""


def load_service(options: Options) -> "Service":
    """The model of a run, ready to be served.

    Raises:
        UserError: a directory that holds no run, or parts of one that cannot be used.
    """
    from llmcourse.device import choose_device
    from llmcourse.generate.__main__ import load_run
    from llmcourse.serve.service import Service
    from llmcourse.tokenizers.template_files import load_template

    device = choose_device(options.device)
    model, tokenizer = load_run(options.run)
    template = load_template(options.template, options.run)
    name = options.name or options.run.resolve().name
    return Service(name, model.to(device), tokenizer, template, options.limits)


def serve(options: Options) -> int:
    """Answer requests until a signal says that it is enough; returns the exit status.

    Raises:
        UserError: the run cannot be served, the address cannot be had, or a library is missing.
    """
    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise UserError(
            f"serving needs {error.name}: pip install -e '.[serve]' -c constraints.txt"
        ) from None
    from llmcourse.serve.app import create_app
    from llmcourse.serve.connections import files_for_connections, protocol

    listen_to_interrupts()
    key = options.api_key or os.environ.get("LLMCOURSE_API_KEY", "")
    with listening(options) as listener:
        service = load_service(options)
        app = create_app(service, key=key, hosts=options.hosts)
        config = uvicorn.Config(
            app,
            http=protocol(options.limits.head_seconds, files_for_connections()),
            log_level="info" if options.access_log else "warning",
            access_log=options.access_log,
            timeout_graceful_shutdown=FLUSH_SECONDS,
            server_header=False,
            lifespan="on",
            ws="none",
        )
        host = f"[{options.host}]" if ":" in options.host else options.host
        where = f"http://{host}:{listener.getsockname()[1]}"
        say(f"{service.name} at {where} (Ctrl-C ends it)")
        if not key and not is_loopback(options.host):
            complain("warning: no key is set, so whoever can reach this address can use it")
        return asyncio.run(_run(uvicorn.Server(config), service, listener))


@contextlib.contextmanager
def listening(options: Options) -> Generator[socket.socket]:
    """A socket that listens where the options say.

    Raises:
        UserError: the address cannot be had.
    """
    try:
        family = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((options.host, options.port), family=family, backlog=1024)
    except OSError as error:
        raise UserError(
            f"cannot listen on {options.host}:{options.port}: {error.strerror or error}; "
            "take another --port or --host"
        ) from None
    with listener:
        yield listener


async def _run(server: Any, service: "Service", listener: socket.socket) -> int:
    """Serve until a signal; then finish what was begun, refuse the rest, and leave."""
    loop = asyncio.get_running_loop()
    told = asyncio.Event()

    def tell(number: int, frame: Any) -> None:
        if told.is_set():  # told twice: at once
            server.force_exit = True
        loop.call_soon_threadsafe(told.set)

    async def leave_when_told() -> None:
        await told.wait()
        service.engine.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(service.limits.shutdown_seconds):
                while not service.engine.is_idle and not server.force_exit:
                    await asyncio.sleep(0.05)
        server.should_exit = True

    # The library's own handlers would close the door before the last answer is written.
    server.capture_signals = contextlib.nullcontext
    before = {one: signal.signal(one, tell) for one in (signal.SIGINT, signal.SIGTERM)}
    leaving = asyncio.create_task(leave_when_told())
    try:
        await server.serve(sockets=[listener])
    finally:
        leaving.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0 if server.started else 1


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    with exit_on_user_error():
        options = command_line.parse(
            Options,
            sys.argv[1:] if arguments is None else arguments,
            prog="python -m llmcourse.serve",
            about=str(__doc__),
            default=None,
        )
        return serve(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
