#!/bin/bash
# Generates the stubs and builds the example, with Debian's packages alone (golang-go golang-google-grpc-dev
# protoc-gen-go protoc-gen-go-grpc golang-google-protobuf-dev golang-github-golang-protobuf-1-5-dev):
#   clients/go/build.sh OUT     leaves the program as OUT/main, and all that it needs on the way in OUT
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [ $# -ne 1 ]; then
  echo "usage: clients/go/build.sh OUT" >&2
  exit 2
fi
mkdir -p "$1"
out=$(cd "$1" && pwd)

mkdir -p "$out/src/tao_inference/main"
import=Mtao/inference/v1/inference.proto=tao_inference/inferencepb
protoc "-I$here/../../protos" "--go_out=$out/src" "--go_opt=$import" "--go-grpc_out=$out/src" \
  "--go-grpc_opt=$import" tao/inference/v1/inference.proto
cp "$here/main.go" "$out/src/tao_inference/main"
# Debian's Go libraries are source packages under /usr/share/gocode, found by GOPATH.
export GO111MODULE=off GOPATH=$out:/usr/share/gocode GOCACHE=${GOCACHE:-$out/cache} GOFLAGS=-p=2
go build -o "$out/main" tao_inference/main
