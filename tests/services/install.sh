#!/usr/bin/env bash
# Ceph's object gateway from Debian's packages, where it is not installed yet. They start nothing by themselves.
set -euo pipefail

for program in ceph ceph-mon ceph-osd monmaptool radosgw radosgw-admin; do
  command -v "$program" > /dev/null || missing=1
done
if [ -z "${missing:-}" ]; then exit 0; fi

if ! command -v apt-get > /dev/null; then
  echo "test-services: needs Ceph's radosgw, ceph-mon, ceph-osd and ceph-common, and there is no apt-get here to install them" >&2
  exit 1
fi
if [ "$(id -u)" != 0 ]; then
  echo "test-services: installs Debian's packages radosgw, ceph-mon, ceph-osd and ceph-common: run it as root, or install them first" >&2
  exit 1
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
  radosgw ceph-mon ceph-osd ceph-common > /dev/null
