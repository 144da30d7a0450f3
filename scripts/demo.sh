#!/bin/bash
# The main job, shown from end to end: installs what is missing, builds, starts a daemon of its own and
# three services with the reference backend, follows them to READY, sends them chat completions, stops
# everything, and makes sure that nothing is left.
#
#   scripts/demo.sh [--platform local-process|local-docker] [--keep] [--no-build]
#   scripts/demo.sh --end FOLDER
#
#   --platform   where the services run: as processes (the default), or as containers of the Docker engine
#                that `docker` reaches; if none answers, of one that root starts for the demo alone
#   --keep       leave it running, and print the URLs and how to end it
#   --end        end what --keep left running; FOLDER is what it printed
#   --no-build   install and build nothing: take the programs in $TAO_BINARY_DIR/bin (build/release/bin)
#
# All that it makes is in one new folder under /tmp; ports are free ones. Ctrl-C and every failure end what
# was started, by pid. Exit codes: 0 shown, and nothing left; 1 something failed; 2 wrong arguments; 130 Ctrl-C.
# shellcheck disable=SC2016  # command lines are shown before they are expanded
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bold="" dim="" red="" plain=""
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
  bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' plain=$'\e[0m'
fi

platform=local-process
keep=false
build=true
folder=
end_only=false

# ---- what the user sees

heading() { printf '\n%s== %s%s\n' "$bold" "$1" "$plain"; }

# Prints a command line as it would be typed, and runs exactly that. Its stdout stays in $folder/shown.
show() {
  printf '%s$ %s%s\n' "$dim" "$1" "$plain"
  eval "$1" | tee "$folder/shown"
}

# Gives a variable of the command lines that follow its value.
assign() {
  printf '%s$ %s=%s%s\n' "$dim" "$1" "$2" "$plain"
  declare -g "$1=$2"
}

fail() {
  echo "${red}demo.sh: $1${plain}" >&2
  exit "${2:-1}"
}

# ---- what it started: $folder/NAME.pid holds the pid and the start time, which together are never reused

start_time() {
  local stat
  { stat=$(< "/proc/$1/stat"); } 2>/dev/null || return 1
  # shellcheck disable=SC2086  # words, after the name, which may hold blanks
  set -- ${stat##*) }
  echo "${20}"
}

# Starts a program that a Ctrl-C at this terminal does not reach: clean_up ends it, in its turn.
start_program() {
  local name=$1
  shift
  setsid "$@" < /dev/null >> "$folder/$name.log" 2>&1 &
  echo "$! $(start_time $!)" > "$folder/$name.pid"
}

runs() {
  local pid started
  read -r pid started 2>/dev/null < "$folder/$1.pid" || return 1
  [ "$(start_time "$pid")" = "$started" ] && [ "$(ps -o stat= -p "$pid" | cut -c1)" != Z ]
}

wait_until() { # SECONDS COMMAND...: until the command succeeds
  local deadline=$((SECONDS + $1))
  shift
  until "$@" > /dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.1
  done
}

ended() { ! runs "$1"; }

end_program() { # NAME SECONDS
  local pid started
  runs "$1" || return 0
  read -r pid started < "$folder/$1.pid"
  kill -TERM "$pid" 2>/dev/null || true
  wait_until "$2" ended "$1" && return 0
  echo "demo.sh: $1 (pid $pid) did not end within $2 s of SIGTERM; it gets SIGKILL" >&2
  kill -KILL "$pid" 2>/dev/null || true
  wait_until 5 ended "$1"
}

# Pids of all that works in our folder or names it, but for this script and who only watches.
processes_left() {
  {
    find /proc -maxdepth 2 -path '/proc/[0-9]*/cwd' -lname "$folder/*" 2>/dev/null | cut -d/ -f3
    pgrep -f -- "$folder/"
  } | sort -un | while read -r pid; do
    case "$(tr '\0' ' ' 2>/dev/null < "/proc/$pid/cmdline")" in
      "" | *demo.sh* | tail\ * | less\ *) ;;
      *) echo "$pid" ;;
    esac
  done
}

none_left() { [ -z "$(processes_left)" ]; }

containers_left() {
  [ -e "$folder/docker-host" ] || return 0
  docker ps --all --quiet --filter "label=tao-daemon=$(cat "$folder/state/daemon-id" 2>/dev/null)"
}

# Ends all that belongs to $folder, and the folder. False, and a message, if something is left.
end_all() {
  local left pid outcome=0
  end_program daemon 60 || outcome=1 # it stops its services
  if [ -e "$folder/docker-host" ]; then
    DOCKER_HOST=$(cat "$folder/docker-host")
    if [ -n "$DOCKER_HOST" ]; then export DOCKER_HOST; else unset DOCKER_HOST; fi
    # Empty, unless the daemon was killed; then its containers and its network outlived it.
    left=$(containers_left || true)
    # shellcheck disable=SC2086  # each a word
    [ -z "$left" ] || docker rm --force $left > /dev/null || outcome=1
    docker network rm "$(cat "$folder/network")" > /dev/null 2>&1 || true
    docker rmi "$(cat "$folder/image")" > /dev/null 2>&1 || true
    left=$(containers_left || true)
    [ -z "$left" ] || { echo "demo.sh: containers are left: $left" >&2; outcome=1; }
    end_program dockerd 30 || outcome=1
  fi
  if ! wait_until 5 none_left; then
    for pid in $(processes_left); do
      kill -KILL "$pid" 2>/dev/null || true
    done
    if ! wait_until 5 none_left; then
      echo "demo.sh: processes are left: $(processes_left | tr '\n' ' ')" >&2
      return 1
    fi
  fi
  # An engine that was killed leaves mounts in its folder.
  awk -v under="$folder/" 'index($2, under) == 1 { print $2 }' /proc/mounts | sort -r |
    while read -r mounted; do umount "$mounted" || true; done
  rm -rf --one-file-system "$folder" || outcome=1
  return "$outcome"
}

clean_up() {
  local code=$?
  trap '' INT TERM HUP # a second Ctrl-C must not leave half of it
  trap - EXIT
  [ -d "$folder" ] || exit "$code"
  if [ "$code" -ne 0 ]; then
    if [ "$code" -lt 128 ] && [ -s "$folder/daemon.log" ]; then
      echo "The last lines of the daemon's log:" >&2
      tail -n 15 "$folder/daemon.log" >&2
    fi
    ! compgen -G "$folder/*.pid" > /dev/null || echo "Ending what was started ..." >&2
  fi
  end_all || [ "$code" -ne 0 ] || code=1
  exit "$code"
}

# ---- the steps

install_and_build() {
  $build || return 0
  heading "Dependencies and build"
  local packages=demo
  [ "$platform" = local-process ] || packages=docker-demo
  show "scripts/deps.sh $packages" || fail "the packages could not be installed; see above"
  check_port
  local targets="tao-inference-server tao-inference reference-backend"
  local line="cmake --preset release && cmake --build --preset release --target $targets"
  local run=(bash -c "$line") begun=$SECONDS
  # Under sudo the build stays the user's, who will want to build again without it.
  if [ "$(id -u)" -eq 0 ] && [ -n "${SUDO_USER:-}" ] && [ "$(stat -c %U .)" = "$SUDO_USER" ]; then
    run=(runuser -u "$SUDO_USER" -- env "HOME=$(getent passwd "$SUDO_USER" | cut -d: -f6)" "${run[@]}")
  fi
  printf '%s$ %s%s\n' "$dim" "$line" "$plain"
  if [ -t 1 ]; then # there the build's progress is one line
    "${run[@]}" || fail "the build failed; see above"
  elif ! "${run[@]}" > "$folder/build.log" 2>&1; then
    tail -n 40 "$folder/build.log" >&2
    fail "the build failed; these are the last lines of its output"
  fi
  echo "built in $((SECONDS - begun)) s"
}

# On local-process services have the machine's own ports, and cosmos-rl's command knows but this one.
check_port() {
  [ "$platform" = local-process ] || return 0
  local taken
  taken=$(ss --no-header --listening --tcp --numeric --processes 'sport = :8080')
  [ -z "$taken" ] || fail "port 8080 is taken, and a cosmos-rl process always serves 8080. It is held by:
$taken
  End that, or let each service have a network of its own: scripts/demo.sh --platform local-docker"
}

# Programs by the names that the services' commands call: the reference backend, with some time to load.
load_settings="REFERENCE_BACKEND_INITIALIZING_MS=800 REFERENCE_BACKEND_DOWNLOADING_MODEL_MS=2500"
load_settings+=" REFERENCE_BACKEND_LOADING_MODEL_MS=1200"

make_programs() {
  mkdir "$folder/programs"
  cat > "$folder/programs/cosmos_predict" << END
#!/bin/bash
export $load_settings
exec -a "\${0##*/}" '$bin/reference-backend' "\$@"
END
  chmod 755 "$folder/programs/cosmos_predict"
  ln -s cosmos_predict "$folder/programs/cosmos-rl-inference-microservice"
}

engine_answers() { docker version --format '{{.Server.Version}}'; }

use_engine() {
  heading "Docker"
  echo "$demo_name" > "$folder/network"
  echo "tao-reference-backend:$demo_name" > "$folder/image"
  if engine_answers > /dev/null 2> "$folder/docker-error"; then
    echo "${DOCKER_HOST:-}" > "$folder/docker-host"
  else
    [ "$(id -u)" -eq 0 ] || fail "no Docker engine answers here: $(tail -n 1 "$folder/docker-error")
  Start it, or run this as root, which starts one for the demo: sudo scripts/demo.sh --platform local-docker"
    # Containers are reached through the engine's own proxy, so the host's firewall stays as it is.
    start_program dockerd dockerd --host "unix://$folder/docker.sock" --pidfile "$folder/engine.pid" \
      --data-root "$folder/docker" --exec-root "$folder/docker-run" --bridge none --iptables=false \
      --ip6tables=false --ip-masq=false --ip-forward=false
    export DOCKER_HOST=unix://$folder/docker.sock
    echo "$DOCKER_HOST" > "$folder/docker-host"
    if ! wait_until 60 engine_answers; then
      tail -n 15 "$folder/dockerd.log" >&2
      fail "no Docker engine runs here, and one of our own does not answer; see its log above"
    fi
    echo "no Docker engine ran here: started one for this demo (pid $(cut -d' ' -f1 "$folder/dockerd.pid"))"
  fi
  image=$(cat "$folder/image")
  export REFERENCE_BACKEND_PROGRAM=$bin/reference-backend
  show "docker/reference-backend/make_image.sh $image \\
    ${load_settings// / \\$'\n'    }" || fail "the image could not be made; see above"
  export IMAGE_COSMOS_RL=$image IMAGE_COSMOS_PREDICT2_5=$image
}

daemon_ready() { ended daemon || grep ' server: ready ' "$folder/daemon.log"; }

start_daemon() {
  heading "The daemon"
  local flags=(--grpc-listen=127.0.0.1:0 --gateway-listen=127.0.0.1:0 --gpu-mode=none
    --admin-listen=127.0.0.1:0 --state-dir="$folder/state" --registry="$folder/registry.json" --stop-services-on-exit)
  if [ "$platform" = local-process ]; then
    make_programs
    flags+=(--local-process-path="$folder/programs")
  else
    flags+=(--docker-network="$demo_name")
    echo "$dim\$ export IMAGE_COSMOS_RL=$image IMAGE_COSMOS_PREDICT2_5=$image$plain"
  fi
  echo "$dim\$ tao-inference-server ${flags[*]:0:3} \\"
  printf '    %s' "${flags[*]:3}"
  echo " &$plain"
  start_program daemon "$bin/tao-inference-server" "${flags[@]}"
  wait_until 60 daemon_ready || fail "the daemon is not ready after 60 s"
  runs daemon || fail "the daemon did not start"
  cat "$folder/daemon.log"
  assign GATEWAY "$(sed -n 's/.* server: ready .*gateway=\([^ ]*\).*/\1/p' "$folder/daemon.log")"
  assign TAO_INFERENCE_SERVER "$(sed -n 's/.* server: ready .*grpc=\([^ ]*\).*/\1/p' "$folder/daemon.log")"
  export TAO_INFERENCE_SERVER
}

job_id_shown() { sed -n 's/^Job ID: *//p' "$folder/shown"; }

start_services() {
  heading "Three services: start, and watch them become READY"
  show "tao-inference start --network-arch cosmos-rl --model-path /models/reason --platform $platform"
  assign REASON "$(job_id_shown)"
  show "tao-inference start --network-arch cosmos-predict2.5 --model-path /models/a --platform $platform --detach"
  assign PREDICT_A "$(job_id_shown)"
  show "tao-inference start --network-arch cosmos-predict2.5 --model-path /models/b --platform $platform"
  assign PREDICT_B "$(job_id_shown)"
  show 'tao-inference watch $PREDICT_A'
  show 'tao-inference list'
}

send_requests() {
  heading "Chat completions: by model, by header, by path"
  show "curl -s \$GATEWAY/v1/chat/completions --json \\
    '{\"model\": \"cosmos-rl\", \"messages\": [{\"role\": \"user\", \"content\": [
       {\"type\": \"video_url\", \"video_url\": {\"url\": \"/data/street.mp4\"}},
       {\"type\": \"text\", \"text\": \"What moves?\"}]}]}'"
  show "curl -s \$GATEWAY/v1/chat/completions -H \"X-TAO-Job-ID: \$PREDICT_A\" --json \\
    '{\"messages\": [{\"role\": \"user\", \"content\": \"A cat on a mat\"}], \"seed\": 7}'"
  show "curl -s \$GATEWAY/services/\$PREDICT_B/v1/chat/completions --json \\
    '{\"messages\": [{\"role\": \"user\", \"content\": \"A dog in the rain\"}]}'"
  heading "As a stream: the container answers with JSON, the client gets events"
  show "curl -sN \$GATEWAY/v1/chat/completions --json \\
    '{\"model\": \"cosmos-rl\", \"stream\": true, \"messages\": [{\"role\": \"user\", \"content\": [
       {\"type\": \"video_url\", \"video_url\": {\"url\": \"/data/street.mp4\"}},
       {\"type\": \"text\", \"text\": \"What moves?\"}]}]}'"
  heading "Two services match: nothing is guessed"
  show "curl -s -w '\\nHTTP %{http_code}\\n' \$GATEWAY/v1/chat/completions --json \\
    '{\"model\": \"cosmos-predict2.5\", \"messages\": [{\"role\": \"user\", \"content\": \"Which one?\"}]}'"
}

stop_services() {
  heading "Stop everything"
  show 'for id in $REASON $PREDICT_A $PREDICT_B; do tao-inference stop $id; done'
  show 'tao-inference list'
}

keep_it() {
  heading "It is left running"
  cat << END
  base_url of any OpenAI client   $GATEWAY/v1
  tao-inference --server          $TAO_INFERENCE_SERVER
  the daemon's log                $folder/daemon.log
  end it                          scripts/demo.sh --end $folder
END
}

# ---- arguments

wrong_arguments() {
  fail "$1
  usage: scripts/demo.sh [--platform local-process|local-docker] [--keep] [--no-build] | --end FOLDER" 2
}

while [ $# -gt 0 ]; do
  case "$1" in
    --platform=*) platform=${1#*=} ;;
    --platform | --end)
      [ $# -ge 2 ] || wrong_arguments "$1 wants a value"
      if [ "$1" = --end ]; then end_only=true folder=${2%/}; else platform=$2; fi
      shift
      ;;
    --keep) keep=true ;;
    --no-build) build=false ;;
    -h | --help)
      sed -n '2,/^# shellcheck/{/^# shellcheck/d;/^#/s/^# \{0,1\}//p}' "scripts/demo.sh"
      exit 0
      ;;
    *) wrong_arguments "unknown argument $1" ;;
  esac
  shift
done
case "$platform" in
  local-process | local-docker) ;;
  *) wrong_arguments "there is no platform \"$platform\" here" ;;
esac

if $end_only; then
  [[ $folder == /tmp/tao-demo.* && -O $folder && -e $folder/daemon.pid ]] ||
    fail "$folder is no folder of a demo of yours that runs"
  end_all || fail "not everything could be ended; see above"
  echo "Ended: no process, container or file of this demo is left."
  exit 0
fi

# ---- the demo

begun=$SECONDS
folder=$(mktemp -d /tmp/tao-demo.XXXXXX) # short: it holds sockets, whose paths end at 107 bytes
demo_name=tao-demo-${folder##*.}
demo_name=${demo_name,,} # an image's tag and a network's name
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP
export no_proxy=127.0.0.1,localhost NO_PROXY=127.0.0.1,localhost

bin=$PWD/build/release/bin
if ! $build; then
  bin=${TAO_BINARY_DIR:-$PWD/build/release}/bin
  [ -x "$bin/tao-inference-server" ] || fail "no programs in $bin: leave --no-build out, or set TAO_BINARY_DIR"
  check_port
fi
export PATH=$bin:$PATH

install_and_build
[ "$platform" = local-process ] || use_engine
start_daemon
start_services
send_requests
if $keep; then
  trap - EXIT
  keep_it
  exit 0
fi
stop_services
heading "What is left"
end_all || fail "something was left; see above"
trap - EXIT
echo "No process, container or file of this demo. It took $((SECONDS - begun)) s."
