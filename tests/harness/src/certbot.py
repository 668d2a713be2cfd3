"""Drives the client inside of certbot's rfc2136 plugin: certbot.py SERVER PORT KEY add|delete NAME TEXT."""

import sys

from certbot_dns_rfc2136._internal import dns_rfc2136

server, port, key, action, name, text = sys.argv[1:]
algorithm, key_name, secret = key.split(":")
algorithms = dns_rfc2136.Authenticator.ALGORITHMS
arguments = [server, int(port), key_name, secret, algorithms[algorithm.upper()]]
try:
    client = dns_rfc2136._RFC2136Client(*arguments)
except TypeError:
    # Later versions can also sign the question for the zone, as the plugin's credentials say.
    client = dns_rfc2136._RFC2136Client(*arguments, False)
if action == "add":
    client.add_txt_record(name, text, 120)
else:
    client.del_txt_record(name, text)
