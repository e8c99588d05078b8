#!/usr/bin/env python3
"""Records what MaxMind's own Python reader finds in a country database, for the tests of ours to be judged by.

    scripts/record-geo-answers.py DATABASE > actors/data/iptoasn-country.answers.tsv

Fifty addresses, always the same for the same file: one in each of forty countries spread over the alphabet, every second
one IPv6 where the country has any; the edges of two networks; and some that nobody has. Needs the
package maxminddb; scripts/update-geo-database.sh installs it.
"""

import ipaddress
import sys
from collections import defaultdict

import maxminddb

COUNTRIES = 40
# Regions of address registries, which are written where the country is not known and are no answer.
REGIONS = {"AP", "EU"}
NOWHERE = ["0.0.0.0", "10.0.0.1", "192.0.2.1", "::1", "2001:db8::1", "fe80::1"]


def networks_by_country(reader):
    """The networks of each country, IPv4 and IPv6 apart; IPv4 is the first 32 bits of the tree."""
    found = defaultdict(lambda: ([], []))
    for network, record in reader:
        first = int(network.network_address)
        if network.version == 6 and first >> 32 == 0:
            network = ipaddress.ip_network((first, network.prefixlen - 96))
        found[record["country_code"]][network.version == 6].append(network)
    return found


def middle(networks):
    return networks[len(networks) // 2]


def addresses(reader):
    by_country = networks_by_country(reader)
    codes = sorted(by_country.keys() - REGIONS)
    for number in range(COUNTRIES):
        v4, v6 = by_country[codes[number * len(codes) // COUNTRIES]]
        network = middle(v6 if v6 and (number % 2 or not v4) else v4)
        yield network[network.num_addresses // 2]
    for network in (middle(by_country["JP"][0]), middle(by_country["BR"][1])):
        yield network[0]
        yield network[-1]
    yield from map(ipaddress.ip_address, NOWHERE)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__.strip())
    # Read in Python throughout: the reader in C is another program's library.
    with maxminddb.open_database(sys.argv[1], maxminddb.MODE_MEMORY) as reader:
        for address in addresses(reader):
            record = reader.get(address) or {}
            print(address, record.get("country_code", ""), sep="\t")


if __name__ == "__main__":
    main()
