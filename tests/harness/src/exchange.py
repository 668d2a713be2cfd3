"""What ask.py and update.py share; it stands in front of them."""

import socket
import struct


class Exchange:
    """A socket, and the framing TCP needs."""

    def __init__(self, options):
        self.tcp = options.tcp
        family = socket.AF_INET6 if ":" in options.server else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM if self.tcp else socket.SOCK_DGRAM)
        self.socket.settimeout(options.patience)
        self.socket.connect((options.server, options.port))

    def send(self, wire):
        self.socket.sendall(struct.pack("!H", len(wire)) + wire if self.tcp else wire)

    def receive(self):
        if not self.tcp:
            return self.socket.recv(65535)
        (length,) = struct.unpack("!H", self.exactly(2))
        return self.exactly(length)

    def exactly(self, length):
        octets = b""
        while len(octets) < length:
            more = self.socket.recv(length - len(octets))
            if not more:
                raise EOFError
            octets += more
        return octets
