"""What the processes of `tests/parallel/test_links.py` do."""

from llmcourse.parallel.links import time_messages
from llmcourse.parallel.world import Channel

SIZES = (8, 2**20)


def measure(channel: Channel) -> dict:
    return {"seconds": time_messages(channel, SIZES, repeats=3), "sent": channel.sent}
