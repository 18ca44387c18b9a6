#!/usr/bin/env bash
# The servers of these tests, and a browser, where they are not installed yet: Azurite by npm, where there is npm; Ceph's
# object gateway, Chromium and Prometheus from Debian's packages. Debian starts Prometheus as a service where it can.
set -euo pipefail

azurite=azurite@3.35.0 # later ones want Node.js 21 or newer
if [ ! -x .venv/azurite/node_modules/.bin/azurite-blob ]; then
  if command -v npm > /dev/null; then
    npm install --prefix .venv/azurite --no-audit --no-fund --loglevel error "$azurite"
  else
    echo "test-services: there is no npm here to install $azurite, so what is tested on it is skipped" >&2
  fi
fi

packages=(radosgw ceph-mon ceph-osd ceph-common chromium prometheus)

for program in ceph ceph-mon ceph-osd monmaptool radosgw radosgw-admin chromium prometheus; do
  command -v "$program" > /dev/null || missing=1
done
if [ -z "${missing:-}" ]; then exit 0; fi

if ! command -v apt-get > /dev/null; then
  echo "test-services: needs Debian's packages ${packages[*]}, and there is no apt-get here to install them" >&2
  exit 1
fi
if [ "$(id -u)" != 0 ]; then
  echo "test-services: installs Debian's packages ${packages[*]}: run it as root, or install them first" >&2
  exit 1
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${packages[@]}" > /dev/null
