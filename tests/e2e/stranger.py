"""A stranger on the link, who sends packets from addresses that nobody has.

Usage: stranger.py DEVICE SERVER datagrams RATE MESSAGE
       stranger.py DEVICE SERVER syns RATE TIMES

Sends RATE packets a second out of DEVICE to port 53 of the IPv4 address SERVER, whose hardware address must be known: the
MESSAGE, in hexadecimal, or SYNs, each TIMES times and a second and more apart. Their sources change: unused addresses of
SERVER's network, which is a /24, and for SYNs others, too. Prints "ready" once packets are on their way, and runs until it is
ended.
"""

import random
import socket
import struct
import sys
import time

UDP, TCP = 17, 6
SYN = 2
PORT = 53
# SYNs come again after as many seconds, and a random part of one.
AGAIN = 1.0
# Packets are sent in bursts, so many a second.
BURSTS = 50


def main():
    device, server, kind, rate, what = sys.argv[1:6]
    packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    packets.bind((device, 0))
    own = packets.getsockname()[4]
    header = hardware(device, server) + own + b"\x08\x00"
    server = socket.inet_aton(server)
    again, ready = [], False
    burst = max(1, int(rate) // BURSTS)
    while True:
        now = time.monotonic()
        frames = []
        for _ in range(burst):
            source = server[:3] + bytes([random.randrange(100, 250)])
            if kind == "datagrams":
                packet = datagram(source, server, bytes.fromhex(what))
            else:
                if random.random() < 0.5:
                    source = bytes([198, 51, 100, random.randrange(1, 255)])
                packet = syn(source, server)
                when = now
                for _ in range(int(what) - 1):
                    when += AGAIN + random.random()
                    again.append((when, packet))
            frames.append(packet)
        frames += [packet for when, packet in again if when <= now]
        again = [(when, packet) for when, packet in again if when > now]
        for packet in frames:
            try:
                packets.send(header + packet)
            except OSError:
                # The device's queue is full: what does not fit is lost, as on any network.
                pass
        if not ready:
            print("ready", flush=True)
            ready = True
        time.sleep(max(0, burst / int(rate) - (time.monotonic() - now)))


def hardware(device, address):
    """Returns the hardware address of a neighbour."""
    with open("/proc/self/net/arp", encoding="ascii") as table:
        for line in table:
            words = line.split()
            if words[0] == address and words[-1] == device and words[2] != "0x0":
                return bytes.fromhex(words[3].replace(":", ""))
    sys.exit(f"the hardware address of {address} is not known")


def checksum(octets):
    """Returns the Internet checksum (RFC 1071)."""
    octets += b"\0" * (len(octets) % 2)
    total = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip(source, target, protocol, body):
    """Returns an IPv4 packet whose body has its checksum."""
    length = 20 + len(body)
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, length, random.randrange(65536), 0, 64, protocol, 0, source, target)
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


def pseudo(source, target, protocol, body):
    return source + target + struct.pack("!BBH", 0, protocol, len(body)) + body


def datagram(source, target, payload):
    head = struct.pack("!HHHH", random.randrange(1024, 65536), PORT, 8 + len(payload), 0)
    total = checksum(pseudo(source, target, UDP, head + payload)) or 0xFFFF
    return ip(source, target, UDP, head[:6] + struct.pack("!H", total) + payload)


def syn(source, target):
    numbers = random.randrange(1024, 65536), PORT, random.randrange(1 << 32), 0
    options = bytes([2, 4, 5, 0xB4, 4, 2, 1, 3, 3, 7, 1, 1])
    head = struct.pack("!HHIIBBHHH", *numbers, (20 + len(options)) << 2, SYN, 64240, 0, 0)
    total = checksum(pseudo(source, target, TCP, head + options))
    return ip(source, target, TCP, head[:16] + struct.pack("!H", total) + head[18:] + options)


main()
