# shellcheck shell=bash
# Ports on 127.0.0.1. Part of scripts/services.sh.

# A configured port is taken as it is. A free one is looked for below the range that the kernel gives to outgoing
# connections: there, a client that keeps dialling a stopped server's port could end up connected to itself.
free_port() {
  # Not one that was given out a moment ago and is not in use yet.
  perl -MSocket -e '
    my %given = map { $_ => 1 } @ARGV;
    for (1 .. 200) {
      my $port = 20000 + int rand 12000;
      next if $given{$port};
      socket(my $s, PF_INET, SOCK_STREAM, 0) or die "socket: $!\n";
      if (bind($s, sockaddr_in($port, INADDR_LOOPBACK))) { print "$port\n"; exit 0 }
    }
    die "no free port between 20000 and 32000\n"' "$(recall kafka.port)" "$(recall postgres.port)"
}

# Keeps the port of last time while it is free (clients may hold it), else finds another.
choose_port() {
  local name=$1 configured=$2 last
  last=$(recall "$name.port")
  if [[ -n $configured ]]; then
    [[ $configured =~ ^[0-9]+$ && $configured -ge 1 && $configured -le 65535 ]] ||
      die "the port configured for $name, '$configured', is not a number from 1 to 65535"
    if port_taken "$configured"; then
      die "port $configured, configured for $name, is in use on 127.0.0.1: choose another or unset it to get a free one"
    fi
    printf '%s\n' "$configured"
  elif [[ -n $last ]] && ! port_taken "$last"; then
    printf '%s\n' "$last"
  else
    free_port
  fi
}

port_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
