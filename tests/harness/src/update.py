"""Sends DNS updates: with dnspython, or signed by hand where no client would sign like that.

usage: update.py [OPTION...] SERVER PORT ZONE <SCRIPT

The script has one operation a line, as nsupdate takes them: `prereq nxdomain NAME` and so on, `update add NAME TTL TYPE
DATA`, `update delete NAME [TYPE [DATA]]`. All of them go into one message.

  --key ALGORITHM:NAME:SECRET  sign with this key
  --tcp                        by TCP
  --by-hand                    sign without dnspython; implied by the next ones
  --skew SECONDS               sign with a clock that is wrong by as much
  --fudge SECONDS              allow this difference of clocks instead of 300 s
  --mac OCTETS                 send only the first octets of the MAC
  --algorithm NAME             name this algorithm in the signature, whatever the key's is
  --burst N                    send the very same message N times in a row and wait for one reply
  --send N                     do so N times
  --patience SECONDS           wait so long for a reply

Prints for each reply `status NAME`, and where it has them, `error NAME` (of the signature), `time SECONDS` (the server's),
`signed` (a valid MAC), `extended CODE TEXT`; and `status TIMEOUT` for a reply that does not come.
"""

import argparse
import base64
import hashlib
import hmac
import socket
import struct
import sys
import time

import dns.message
import dns.name
import dns.rcode
import dns.tsig
import dns.update


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--key")
    parser.add_argument("--tcp", action="store_true")
    parser.add_argument("--by-hand", action="store_true")
    parser.add_argument("--skew", type=int, default=0)
    parser.add_argument("--fudge", type=int, default=300)
    parser.add_argument("--mac", type=int)
    parser.add_argument("--algorithm")
    parser.add_argument("--burst", type=int, default=1)
    parser.add_argument("--send", type=int, default=1)
    parser.add_argument("--patience", type=float, default=60)
    parser.add_argument("server")
    parser.add_argument("port", type=int)
    parser.add_argument("zone")
    return parser.parse_args()


def operations(message, zone):
    """Puts the script's operations into the message."""
    for line in sys.stdin:
        words = line.split(None, 5)
        if not words:
            continue
        absolute = lambda word: dns.name.from_text(word, zone)
        if words[0] == "prereq":
            kind, owner = words[1], absolute(words[2])
            rest = line.split(None, 4)[3:]
            if kind == "nxdomain":
                message.absent(owner)
            elif kind == "yxdomain":
                message.present(owner)
            elif kind == "nxrrset":
                message.absent(owner, rest[0])
            elif len(rest) == 1:
                message.present(owner, rest[0].strip())
            else:
                message.present(owner, rest[0], rest[1].strip())
        elif words[:2] == ["update", "add"]:
            message.add(absolute(words[2]), int(words[3]), words[4], words[5].strip())
        elif words[:2] == ["update", "delete"]:
            rest = line.split(None, 4)[3:]
            message.delete(absolute(words[2]), *[word.strip() for word in rest])
        else:
            sys.exit("unknown operation: " + line)


def sign(wire, options):
    """Appends a TSIG record (RFC 8945 section 4.2) with whatever is asked for; returns the message and the MAC."""
    algorithm, name, secret = options.key.split(":")
    digest = getattr(hashlib, algorithm.removeprefix("hmac-"))
    name = dns.name.from_text(name).canonicalize().to_wire()
    shown = dns.name.from_text(options.algorithm or algorithm).to_wire()
    when = int(time.time()) + options.skew
    when = struct.pack("!HI", when >> 32, when & 0xFFFFFFFF)
    fudge = struct.pack("!H", options.fudge)
    variables = name + struct.pack("!HI", 255, 0) + shown + when + fudge + struct.pack("!HH", 0, 0)
    mac = hmac.new(base64.b64decode(secret), wire + variables, digest).digest()[: options.mac]
    data = shown + when + fudge + struct.pack("!H", len(mac)) + mac + wire[:2] + struct.pack("!HH", 0, 0)
    record = name + struct.pack("!HHIH", 250, 255, 0, len(data)) + data
    additional = struct.unpack("!H", wire[10:12])[0] + 1
    return wire[:10] + struct.pack("!H", additional) + wire[12:] + record, mac


def skip_name(wire, at):
    """Where a name ends that begins at `at`."""
    while wire[at] and wire[at] < 192:
        at += 1 + wire[at]
    return at + (2 if wire[at] else 1)


def split_signature(wire):
    """A reply without its TSIG record, and that record's name and data; or the reply and twice None."""
    counts = list(struct.unpack("!HHHH", wire[4:12]))
    at = 12
    for _ in range(counts[0]):
        at = skip_name(wire, at) + 4
    start = kind = None
    for _ in range(sum(counts[1:])):
        start = at
        at = skip_name(wire, at)
        kind, length = struct.unpack("!H6xH", wire[at : at + 10])
        data = wire[at + 10 : at + 10 + length]
        at += 10 + length
    if kind != 250:
        return wire, None, None
    counts[3] -= 1
    name = dns.name.from_wire(wire, start)[0]
    return wire[:4] + struct.pack("!HHHH", *counts) + wire[12:start], name, data


def show(wire, key, request_mac):
    """Prints what a reply says."""
    plain, name, data = split_signature(wire)
    reply = dns.message.from_wire(plain)
    print("status", dns.rcode.to_text(reply.rcode()))
    if name is not None:
        end = skip_name(data, 0)
        high, low, fudge, size = struct.unpack("!HIHH", data[end : end + 10])
        mac = data[end + 10 : end + 10 + size]
        original, error, length = struct.unpack("!HHH", data[end + 10 + size : end + 16 + size])
        other = data[end + 16 + size :]
        if error:
            print("error", {16: "BADSIG", 17: "BADKEY", 18: "BADTIME", 22: "BADTRUNC"}.get(error, error))
        if length == 6:
            print("time", int.from_bytes(other, "big"))
        if key and size:
            # RFC 8945 section 5.3: the request's MAC, the reply as it was before it was signed, the variables.
            algorithm, key_name, secret = key.split(":")
            text = struct.pack("!H", len(request_mac)) + request_mac
            text += struct.pack("!H", original) + plain[2:]
            text += name.canonicalize().to_wire() + struct.pack("!HI", 255, 0) + data[:end].lower()
            text += data[end : end + 8] + struct.pack("!HH", error, length) + other
            digest = getattr(hashlib, algorithm.removeprefix("hmac-"))
            wanted = hmac.new(base64.b64decode(secret), text, digest).digest()
            right = name == dns.name.from_text(key_name) and hmac.compare_digest(wanted[:size], mac)
            print("signed" if right else "forged")
    for option in reply.options:
        if option.otype == 15:
            print("extended", int(option.code), option.text or "")


def main():
    options = arguments()
    zone = dns.name.from_text(options.zone)
    message = dns.update.UpdateMessage(zone)
    operations(message, zone)
    # So that the server may attach an extended error (RFC 8914 section 2).
    message.use_edns(0, payload=1232)
    by_hand = options.by_hand or options.skew or options.fudge != 300 or options.mac is not None or options.algorithm
    mac = b""
    if options.key:
        algorithm, name, secret = options.key.split(":")
        key = dns.tsig.Key(name, secret, algorithm)
        if not by_hand:
            message.use_tsig({key.name: key}, key.name)
    wire = message.to_wire()
    if options.key and by_hand:
        wire, mac = sign(wire, options)
    elif options.key:
        mac = message.mac
    exchange = Exchange(options)
    for _ in range(options.send):
        for _ in range(options.burst):
            exchange.send(wire)
        try:
            show(exchange.receive(), options.key, mac)
        except (socket.timeout, EOFError, ConnectionError):
            print("status TIMEOUT")


main()
