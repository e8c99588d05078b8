#!/usr/bin/env python3
"""Counts the hits of an access log by window, host and country, with no line of hitstream's code, for it to be judged by.

    scripts/count-countries.py LOG DATABASE HOST [SECONDS]

LOG is in common or combined format, plain or .gz; DATABASE a flat country database in MMDB format; HOST the site where a
request does not name one; SECONDS the length of a window. Prints a row for each group: start of the window in seconds
since 1970, host, country (\\N where there is none), hits. Needs the package maxminddb; scripts/count-countries.sh sees to it.
"""

import collections
import datetime
import gzip
import ipaddress
import re
import sys

import maxminddb

LINE = re.compile(r'(\S+) .*?\[([^]]+)\] "((?:[^"\\]|\\.)*)"')
HOST_OF_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(?:[^/@]*@)?([^/:?#]+)")
# What registries write where they do not know the country, and what providers write for none.
NO_COUNTRIES = {"", "-", "A1", "A2", "AP", "EU", "O1", "ZZ"}


def country(reader, visitor):
    """Of a visitor with an address of the public internet; old logs have names as well."""
    try:
        address = ipaddress.ip_address(visitor)
    except ValueError:
        return None
    if not address.is_global or address.is_multicast:
        return None
    code = (reader.get(address) or {}).get("country_code")
    return None if code in NO_COUNTRIES else code


def count(lines, reader, host, seconds):
    groups = collections.Counter()
    for number, line in enumerate(lines, 1):
        found = LINE.match(line)
        if not found:
            sys.exit(f"line {number} is none of an access log: {line!r}")
        visitor, time, request = found.groups()
        moment = int(datetime.datetime.strptime(time, "%d/%b/%Y:%H:%M:%S %z").timestamp())
        target = (request.split(" ") + [""])[1]
        named = HOST_OF_URL.match(target)
        site = named.group(1) if named else host
        groups[moment - moment % seconds, site, country(reader, visitor)] += 1
    return groups


def main():
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__.strip())
    log, database, host = sys.argv[1:4]
    seconds = int(sys.argv[4]) if len(sys.argv) == 5 else 300
    opened = gzip.open if log.endswith(".gz") else open
    # Read in Python throughout: the reader in C is another program's library.
    with maxminddb.open_database(database, maxminddb.MODE_MEMORY) as reader:
        with opened(log, "rt", encoding="utf-8", errors="replace", newline="\n") as lines:
            groups = count(lines, reader, host, seconds)
    for (start, site, code), hits in groups.items():
        print(start, site, code or "\\N", hits, sep="\t")


if __name__ == "__main__":
    main()
