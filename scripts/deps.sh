#!/bin/bash
# Installs the Debian 12 packages that are missing; does nothing when all are there.
#   scripts/deps.sh               for everything: to build, to run every test
#   scripts/deps.sh build         to build
#   scripts/deps.sh demo          to build, and to run scripts/demo.sh
#   scripts/deps.sh docker-demo   the same, with --platform local-docker
#   scripts/deps.sh bench         to build, and to run tests/bench/compare.py and the microbenchmarks; Debian starts
#                                 HAProxy and nginx when it installs them, and the benchmark needs neither running
set -euo pipefail

packages=(
  g++ cmake ninja-build ccache mold pkg-config protobuf-compiler protobuf-compiler-grpc
  libgrpc++-dev libprotobuf-dev libabsl-dev nlohmann-json3-dev libyaml-cpp-dev
  libcurl4-openssl-dev libgtest-dev libgmock-dev libboost1.81-dev libspdlog-dev libcli11-dev
  libsimdjson-dev libssl-dev git
)
demo=(python3 curl procps iproute2 ca-certificates)
docker=(iptables bash-static)
# Docker CE serves as well, and conflicts with Debian's package.
command -v dockerd >/dev/null || docker+=(docker.io)
tests=(
  clang-14 libclang-rt-14-dev libbenchmark-dev debootstrap openssl python3-pytest python3-grpcio python3-protobuf python3-yaml
  # the clients: types and a wheel of Python's, the example in Go
  mypy python3-setuptools python3-wheel golang-go golang-google-grpc-dev protoc-gen-go protoc-gen-go-grpc
  golang-google-protobuf-dev golang-github-golang-protobuf-1-5-dev
  zsh  # completion of the command line
  # a real Slurm cluster behind a real sshd
  slurmctld slurmd slurm-client munge libslurm-dev slurmdbd slurm-wlm-mysql-plugin mariadb-server
  openssh-server openssh-client
)
bench=(haproxy nginx-light libbenchmark-dev python3 python3-grpcio iproute2)
# Node.js from elsewhere (nvm, NodeSource) serves as well, and conflicts with Debian's packages.
command -v node >/dev/null || tests+=(nodejs)
command -v npm >/dev/null || tests+=(npm)
# So does another kubectl.
command -v kubectl >/dev/null || tests+=(kubernetes-client)

case "${1:-test}" in
  build) ;;
  demo) packages+=("${demo[@]}") ;;
  bench) packages+=("${bench[@]}") ;;
  docker-demo) packages+=("${demo[@]}" "${docker[@]}") ;;
  test) packages+=("${demo[@]}" "${docker[@]}" "${tests[@]}") ;;
  *)
    echo "deps: unknown argument $1; usage: scripts/deps.sh [build|demo|docker-demo|bench|test]" >&2
    exit 2
    ;;
esac

missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing+=("$package")
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
