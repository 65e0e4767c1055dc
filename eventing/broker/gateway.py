"""
The gateway of a dispatcher that reaches Services through another machine's data port: is it one at all?

It is asked as a webhook's sender asks (OPTIONS), which a data port answers with WebHook-Allowed-Rate. What is
wrong is told in one line, when it begins and when it is something else; it is asked again until it answers.
Nothing waits for that: events for Brokers and for hosts of others are delivered meanwhile, the rest retried.
"""

import asyncio

import structlog

from eventing.errors import NoAnswer
from eventing.http.client import Client

_AGAIN_S = 5.0
_TIMEOUT_S = 10.0
_ANSWER_BYTES = 64 * 1024
_MARK = b"webhook-allowed-rate"

log = structlog.get_logger(__name__)


async def problem_of(client: Client, url: str) -> str:
    """What is wrong with the gateway at *url*, in a sentence; "" if it is one."""
    try:
        answer = await client.request(
            "OPTIONS", f"{url.rstrip('/')}/", [(b"webhook-request-origin", b"clarion")],
            timeout_s=_TIMEOUT_S, max_answer_bytes=_ANSWER_BYTES)
    except NoAnswer as error:
        return str(error)
    if answer.header(_MARK) is not None:
        return ""
    return f"it answers {answer.status}, but not as the data port of an instance does: is it another port?"


async def check(client: Client, url: str) -> None:
    """Return once the gateway at *url* is one, and say what is wrong until then."""
    told = ""
    while problem := await problem_of(client, url):
        if problem != told:
            log.warning("--gateway-url leads to no Services; it is asked again", url=url, error=problem)
            told = problem
        await asyncio.sleep(_AGAIN_S)
    if told:
        log.info("--gateway-url answers", url=url)
