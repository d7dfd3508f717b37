"""A link between two network namespaces: whole IP packets from one TUN device to the other, with loss, delay, rate and
a bounded queue, the same for every protocol. netem does this where a kernel has it.

Arguments: loss (0..1), delay of each way in ms, rate in Mbit/s, queue in bytes. A line on stdin is answered by one of
JSON: packets and bytes that entered each way, and what was dropped, since the line before.
"""

import fcntl
import heapq
import json
import os
import random
import select
import struct
import sys
import time

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
loss, delay, rate, limit = (float(one) for one in sys.argv[1:5])
delay /= 1000
rate *= 125_000  # bytes per second
chance = random.Random(1)


def device(name):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    return fd


def blank():
    return {"packets": 0, "bytes": 0, "lost": 0, "overflowed": 0, "waitedMs": 0.0}


ends = [device("pilot0"), device("pilot1")]
free_at = [0.0, 0.0]
counts = [blank(), blank()]
under_way = []
order = 0
print("ready", flush=True)

while True:
    now = time.monotonic()
    while under_way and under_way[0][0] <= now:
        _, _, way, packet = heapq.heappop(under_way)
        try:
            os.write(ends[1 - way], packet)
        except OSError:
            counts[way]["overflowed"] += 1
    wait = max(0.0, under_way[0][0] - time.monotonic()) if under_way else 1.0
    for fd in select.select([*ends, 0], [], [], wait)[0]:
        if fd == 0:
            if not sys.stdin.readline():
                sys.exit()
            print(json.dumps(counts), flush=True)
            counts = [blank(), blank()]
            continue
        way = ends.index(fd)
        for _ in range(64):
            try:
                packet = os.read(fd, 65536)
            except BlockingIOError:
                break
            now = time.monotonic()
            count = counts[way]
            count["packets"] += 1
            count["bytes"] += len(packet)
            start = max(now, free_at[way])
            if (start - now) * rate + len(packet) > limit:
                count["overflowed"] += 1
                continue
            count["waitedMs"] += (start - now) * 1000
            free_at[way] = start + len(packet) / rate
            if chance.random() < loss:
                count["lost"] += 1
                continue
            order += 1
            heapq.heappush(under_way, (free_at[way] + delay, order, way, packet))
