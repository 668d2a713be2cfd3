"""Ties a tap device to a VLAN of another device, as the kernel's VLAN devices do where it has them.

Usage: vlan.py DEVICE ID TAP. Makes the device TAP. What DEVICE receives with the tag of the VLAN leaves TAP without it, and the
other way round. Prints "ready" and runs until it is ended.
"""

import fcntl
import os
import select
import socket
import struct
import subprocess
import sys

TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 0x0002, 0x1000
ETH_P_ALL = 0x0003
SOL_PACKET, PACKET_AUXDATA = 263, 8
TP_STATUS_VLAN_VALID = 1 << 4
TAG = b"\x81\x00"


def main():
    device, vlan, name = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    tap = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
    subprocess.run(["ip", "link", "set", name, "up"], check=True)
    packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    packets.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    packets.bind((device, ETH_P_ALL))
    print("ready", flush=True)
    while True:
        readable, _, _ = select.select([tap, packets], [], [])
        if tap in readable:
            frame = os.read(tap, 65536)
            packets.send(frame[:12] + TAG + struct.pack("!H", vlan) + frame[12:])
        if packets in readable:
            frame, ancillary, _, address = packets.recvmsg(65536, 256)
            # What we or the kernel send by the device is seen, too.
            if address[2] == socket.PACKET_OUTGOING:
                continue
            untagged = untag(frame, ancillary, vlan)
            if untagged is not None:
                os.write(tap, untagged)


def untag(frame, ancillary, vlan):
    """Returns the frame without its tag, which the kernel may have taken off, if it is the VLAN's."""
    for level, kind, data in ancillary:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
            status, _, _, _, _, tag, _ = struct.unpack("IIIHHHH", data[:20])
            if status & TP_STATUS_VLAN_VALID:
                return frame if tag & 0xFFF == vlan else None
    if frame[12:14] == TAG and struct.unpack("!H", frame[14:16])[0] & 0xFFF == vlan:
        return frame[:12] + frame[16:]
    return None


main()
