"""Asks for zones and tells of changes, with dnspython, and verifies what comes back.

usage: ask.py [OPTION...] SERVER PORT KIND ZONE

KIND is SOA, AXFR, IXFR=SERIAL, NOTIFY or NOTIFY=SERIAL.

  --key ALGORITHM:NAME:SECRET  sign with this key, and verify
  --tcp                        by TCP
  --skew SECONDS               sign with a clock that is wrong by as much
  --size OCTETS                announce by EDNS how large a datagram may be
  --patience SECONDS           wait so long for each message

Prints for each message of the answer `message RCODE FLAGS RECORDS OCTETS` and `signed` or `unsigned`, `error NAME` for what
is wrong with a signature, `record TEXT` for each record of its answer section, in their order, and `timeout` or `end` for
an answer that is not complete.
"""

import argparse
import socket
import time

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.tsig


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--key")
    parser.add_argument("--tcp", action="store_true")
    parser.add_argument("--skew", type=int, default=0)
    parser.add_argument("--size", type=int)
    parser.add_argument("--patience", type=float, default=60)
    parser.add_argument("server")
    parser.add_argument("port", type=int)
    parser.add_argument("kind")
    parser.add_argument("zone")
    return parser.parse_args()


def request(options):
    zone = dns.name.from_text(options.zone)
    kind, _, serial = options.kind.partition("=")
    message = dns.message.make_query(zone, "SOA" if kind == "NOTIFY" else kind)
    message.flags &= ~dns.flags.RD
    if kind == "NOTIFY":
        message.set_opcode(dns.opcode.NOTIFY)
        message.flags |= dns.flags.AA
    if serial:
        section = message.answer if kind == "NOTIFY" else message.authority
        section.append(dns.rrset.from_text(zone, 0, "IN", "SOA", f". . {serial} 0 0 0 0"))
    if options.size:
        message.use_edns(0, payload=options.size)
    if options.key:
        algorithm, name, secret = options.key.split(":")
        key = dns.tsig.Key(name, secret, algorithm)
        message.use_tsig({key.name: key}, key.name)
    return message


class Transfer:
    """Knows when an answer is complete."""

    def __init__(self, kind):
        self.kind = kind.partition("=")[0]
        self.first = self.second = None
        self.count = 0
        self.serials = 0

    def complete(self, records):
        if self.kind not in ("AXFR", "IXFR"):
            return True
        for record in records:
            self.count += 1
            kind = record.rdtype
            if self.count == 1:
                self.first = record[0]
                if kind != dns.rdatatype.SOA:
                    return True
            elif self.count == 2:
                self.second = kind
            if self.count > 1 and kind == dns.rdatatype.SOA and record[0].serial == self.first.serial:
                self.serials += 1
        # The version it leads to stands at the begin, before what is added to get there, and at the end.
        incremental = self.second == dns.rdatatype.SOA
        return self.count == 0 or (self.kind == "IXFR" and self.count == 1) or self.serials == (2 if incremental else 1)


def main():
    options = arguments()
    message = request(options)
    right = time.time
    time.time = lambda: right() + options.skew
    wire = message.to_wire()
    time.time = right
    exchange = Exchange(options)
    exchange.send(wire)
    transfer, context = Transfer(options.kind), None
    while True:
        try:
            octets = exchange.receive()
        except socket.timeout:
            return print("timeout")
        except (EOFError, ConnectionError):
            return print("end")
        code = dns.rcode.to_text(octets[3] & 15)
        try:
            reply = dns.message.from_wire(
                octets,
                keyring=message.keyring,
                request_mac=message.mac if message.had_tsig or options.key else b"",
                xfr=True,
                origin=None,
                tsig_ctx=context,
                multi=options.kind.startswith(("AXFR", "IXFR")),
                one_rr_per_rrset=True,
            )
        except dns.tsig.PeerError as error:
            print("message", code, "-", 0, len(octets))
            return print("error", type(error).__name__.removeprefix("Peer"))
        except (dns.tsig.BadSignature, dns.tsig.BadTime, dns.message.UnknownTSIGKey) as error:
            print("message", code, "-", 0, len(octets))
            return print("forged", type(error).__name__)
        context = reply.tsig_ctx
        flags = dns.flags.to_text(reply.flags).replace(" ", "+") or "-"
        print("message", code, flags, len(reply.answer), len(octets))
        print("signed" if reply.had_tsig else "unsigned")
        for option in reply.options:
            if option.otype == dns.edns.EDE:
                print("extended", int(option.code), option.text or "")
        for record in reply.answer:
            print("record", record.to_text())
        if reply.rcode() or transfer.complete(reply.answer):
            # What is signed must be so at its end (RFC 8945 section 5.3.1).
            return print("complete" if reply.had_tsig or not options.key else "unsigned-end")


main()
