#!/bin/bash
# Installs the Debian 12 packages that building, testing and the demo need. Does nothing when all are there.
set -euo pipefail

packages=(
  # to build
  g++ cmake ninja-build ccache mold pkg-config protobuf-compiler protobuf-compiler-grpc
  libgrpc++-dev libprotobuf-dev libabsl-dev nlohmann-json3-dev libyaml-cpp-dev
  libcurl4-openssl-dev libgtest-dev libgmock-dev libboost1.81-dev libspdlog-dev libcli11-dev
  libsimdjson-dev libssl-dev git
  # to test and to run the demo
  clang-14 debootstrap docker.io iptables bash-static python3 python3-pytest python3-grpcio python3-protobuf
  python3-yaml curl procps iproute2 ca-certificates openssl
  # a real Slurm cluster behind a real sshd
  slurmctld slurmd slurm-client munge libslurm-dev slurmdbd slurm-wlm-mysql-plugin mariadb-server
  openssh-server openssh-client
)
# Node.js from elsewhere (nvm, NodeSource) serves as well, and conflicts with Debian's packages.
command -v node >/dev/null || packages+=(nodejs)
command -v npm >/dev/null || packages+=(npm)
# So does another kubectl.
command -v kubectl >/dev/null || packages+=(kubernetes-client)

missing=()
for package in "${packages[@]}"; do
  dpkg -s "$package" 2>/dev/null | grep -q '^Status: .* installed$' || missing+=("$package")
done
if [ "${#missing[@]}" -eq 0 ]; then
  echo "deps: all ${#packages[@]} packages are installed"
  exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "deps: not root, and there is no sudo. As root, run:" >&2
    echo "  apt-get update && apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi
# Through env, because sudo drops the variable.
apt_get=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get)

echo "deps: installing ${missing[*]}"
"${apt_get[@]}" update
"${apt_get[@]}" install --yes --no-install-recommends "${missing[@]}"
