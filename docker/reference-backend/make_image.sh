#!/bin/bash
# Builds an image of the reference backend out of nothing but the built program and Debian's static
# bash, without a registry, and imports it into the docker engine that the docker command talks to
# (DOCKER_HOST counts).
#
#   make_image.sh [TAG] [NAME=VALUE...]
#
# TAG is the image's name (tao-reference-backend:latest); each NAME=VALUE becomes the environment of
# its containers, such as REFERENCE_BACKEND_LOADING_MODEL_MS=2000. Prints the image's id.
# REFERENCE_BACKEND_PROGRAM=PATH takes another program than build/release/bin/reference-backend.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
program=${REFERENCE_BACKEND_PROGRAM:-$here/../../build/release/bin/reference-backend}
shell=$(command -v bash-static || true)

fail() {
  echo "make_image.sh: $1" >&2
  exit 1
}

tag=tao-reference-backend:latest
if [[ $# -gt 0 && $1 != *=* ]]; then
  tag=$1
  shift
fi

[[ -n $shell ]] || fail "no bash-static here: apt-get install bash-static"
[[ -x $program ]] ||
  fail "no program at $program: cmake --build --preset release --target reference-backend"
# A program that asks for a dynamic linker would not start in the image: a puzzling "not found".
if LC_ALL=C grep -q -a -m1 '/ld-linux' "$program"; then
  fail "$program is not static: build the release preset, TAO_STATIC_REFERENCE_BACKEND=ON"
fi

# Dockerfile syntax, in which docker import reads its changes: in double quotes, \ " and $ need a \.
changes=(--change 'ENV PATH="/usr/local/bin:/bin"' --change 'ENV HOME="/root"'
         --change 'EXPOSE 8080' --change 'CMD ["/bin/bash"]')
for setting in "$@"; do
  name=${setting%%=*}
  value=${setting#*=}
  [[ $setting == *=* && $name =~ ^[A-Za-z_][A-Za-z0-9_]*$ ]] ||
    fail "\"$setting\" is not NAME=VALUE"
  [[ $value != *$'\n'* ]] || fail "the value of $name has a line break, which an image cannot carry"
  value=${value//\\/\\\\}
  value=${value//\"/\\\"}
  value=${value//\$/\\\$}
  changes+=(--change "ENV $name=\"$value\"")
done

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{bin,etc,root,tmp,usr/local/bin}
chmod 755 "$root" # mktemp's 0700 would be the container's /
chmod 1777 "$root/tmp"
install -m 755 "$shell" "$root/bin/bash"
ln -s bash "$root/bin/sh"
install -m 755 "$program" "$root/usr/local/bin/reference-backend"
for name in cosmos-rl-inference-microservice python cosmos_predict; do
  ln -s reference-backend "$root/usr/local/bin/$name"
done
echo 'root:x:0:0:root:/root:/bin/bash' > "$root/etc/passwd"
echo 'root:x:0:' > "$root/etc/group"

# Sorted, owned by root and without times of its own: the same program gives the same layer.
tar --create --directory "$root" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 . |
  docker import "${changes[@]}" - "$tag"
