#!/bin/bash
# Mesh beside Docker and docker-compose, in one run, on the same root file systems.
#
#   benches/against-docker.sh [MESH]        (default: target/release/mesh)
#
# Needs root and Debian's docker.io and docker-compose. Everything lives in a temporary directory and in
# network and mount namespaces of its own, so that neither the machine's interfaces nor its packet filter
# are touched; all of it is gone at the end. The two take turns, so that noise hits both. Docker runs the
# files that Mesh's containers have: `tar | docker import`.
set -euo pipefail

ROUNDS=3        # of 20 Redis services
STARTS=10       # of one container
SERVICES=20
WAIT_MAX_S=60   # for a daemon, or for health

fail() { echo "against-docker: $*" >&2; exit 1; }
now_ms() { echo $(($(date +%s%N) / 1000000)); }

# Runs a command silently, prints how long it took in milliseconds.
timed() {
    local begun
    begun=$(now_ms)
    "$@" > "$WORK/output" 2>&1 || { cat "$WORK/output" >&2; fail "failed: $*"; }
    echo $(($(now_ms) - begun))
}

# Prints a name, and the median, least and greatest of the numbers in a file.
report() {
    sort -n "$2" | awk -v name="$1" \
        '{ all[NR] = $1 } END { printf "%-46s %6d ms  (%d to %d ms, %d runs)\n", name, all[int((NR + 1) / 2)], all[1], all[NR], NR }'
}

write_projects() {
    mkdir -p "$WORK/redis" "$WORK/one"
    {
        echo "services:"
        for number in $(seq "$SERVICES"); do
            printf '  r%s: {image: "redis:7", healthcheck: {test: [CMD, redis-cli, ping], interval: 1s}}\n' "$number"
        done
    } > "$WORK/redis/compose.yaml"
    printf 'services:\n  a: {image: busybox, command: [sleep, infinity]}\n' > "$WORK/one/compose.yaml"
    cp "$WORK/redis/compose.yaml" "$WORK/redis/docker-compose.yml"
}

in_redis() { (cd "$WORK/redis" && "$@"); }
in_one() { (cd "$WORK/one" && "$@"); }

# The root of a container of Mesh's, as an image of Docker's: name, project's folder, service, changes.
import() {
    local image=$1 project=$2 service=$3 pid
    shift 3
    (cd "$project" && "$MESH" up -d --wait "$service" > /dev/null 2>&1)
    # The first process that `top` lists; all of a container's have its root.
    pid=$(cd "$project" && "$MESH" top "$service" |
        awk '$2 == "#" { for (i = 1; i <= NF; i++) if ($i == "PID") column = i; next } column && !found { print $column; found = 1 }')
    [ "${pid:-1}" -gt 1 ] || fail "no process of $service"
    tar -C "/proc/$pid/root" --one-file-system -cf - . | docker import "$@" - "$image" > /dev/null
    (cd "$project" && "$MESH" down -v > /dev/null 2>&1)
}

start_docker() {
    mkdir -p "$WORK/docker"
    dockerd --data-root "$WORK/docker/data" --exec-root "$WORK/docker/exec" --pidfile "$WORK/docker/pid" \
        --host "$DOCKER_HOST" --storage-driver overlay2 > "$WORK/docker/log" 2>&1 &
    DOCKERD=$!
    local deadline=$((SECONDS + WAIT_MAX_S))
    until docker version > /dev/null 2>&1; do
        kill -0 "$DOCKERD" 2> /dev/null && [ $SECONDS -lt $deadline ] ||
            { tail -n 5 "$WORK/docker/log" >&2; fail "dockerd does not run here"; }
        sleep 0.1
    done
}

docker_up_healthy() {
    docker-compose -f "$WORK/redis/docker-compose.yml" up -d
    now_ms > "$WORK/started"
    local deadline=$((SECONDS + WAIT_MAX_S))
    until [ "$(docker ps -q --filter health=healthy | wc -l)" = "$SERVICES" ]; do
        [ $SECONDS -lt $deadline ] || return 1
        sleep 0.02
    done
}

measure_redis() {
    local begun
    for _ in $(seq "$ROUNDS"); do
        begun=$(now_ms)
        timed docker_up_healthy >> "$WORK/docker-healthy"
        echo $(($(cat "$WORK/started") - begun)) >> "$WORK/docker-started"
        timed docker-compose -f "$WORK/redis/docker-compose.yml" down -v >> "$WORK/docker-down"
        timed in_redis "$MESH" up --wait >> "$WORK/mesh-healthy"
        timed in_redis "$MESH" down -v >> "$WORK/mesh-down"
    done
    report "$SERVICES Redis: docker-compose up -d" "$WORK/docker-started"
    report "$SERVICES Redis: docker-compose up -d, until healthy" "$WORK/docker-healthy"
    report "$SERVICES Redis: mesh up --wait" "$WORK/mesh-healthy"
    report "$SERVICES Redis: docker-compose down" "$WORK/docker-down"
    report "$SERVICES Redis: mesh down" "$WORK/mesh-down"
}

measure_one() {
    docker run -d --name kept busybox sleep infinity > /dev/null
    in_one "$MESH" up --wait > /dev/null 2>&1
    for _ in $(seq "$STARTS"); do
        timed docker run --rm busybox echo x >> "$WORK/docker-run"
        timed in_one "$MESH" run --rm -T a echo x >> "$WORK/mesh-run"
        timed docker exec kept echo x >> "$WORK/docker-exec"
        timed in_one "$MESH" exec -T a echo x >> "$WORK/mesh-exec"
    done
    docker rm -f kept > /dev/null
    in_one "$MESH" down -v -t 0 > /dev/null 2>&1
    report "a container, start to removed: docker run --rm" "$WORK/docker-run"
    report "a container, start to removed: mesh run --rm" "$WORK/mesh-run"
    report "a program in it: docker exec" "$WORK/docker-exec"
    report "a program in it: mesh exec" "$WORK/mesh-exec"
}

# What is left of a run, whether it went well or not.
clean() {
    in_redis "$MESH" down -v -t 0 > /dev/null 2>&1 || true
    in_one "$MESH" down -v -t 0 > /dev/null 2>&1 || true
    if [ -n "${DOCKERD:-}" ] && kill -0 "$DOCKERD" 2> /dev/null; then
        docker ps -aq | xargs -r docker rm -f > /dev/null 2>&1 || true
        kill "$DOCKERD" && wait "$DOCKERD" 2> /dev/null || true
    fi
    find /sys/fs/cgroup -maxdepth 2 -type d -name docker -exec rmdir {} + 2> /dev/null || true
}

# In the namespaces.
inside() {
    trap clean EXIT
    mount --make-rprivate /
    ip link set lo up
    export DOCKER_HOST=unix://$WORK/docker.sock
    start_docker
    import busybox "$WORK/one" a
    import redis:7 "$WORK/redis" r1 --change 'ENTRYPOINT ["docker-entrypoint.sh"]' \
        --change 'CMD ["redis-server"]' --change 'WORKDIR /data' --change 'VOLUME /data'
    measure_redis
    measure_one
}

if [ "${1:-}" = --inside ]; then
    inside
    exit
fi

cd "$(dirname "$0")/.."
MESH=$(realpath "${1:-target/release/mesh}")
[ "$(id -u)" = 0 ] || fail "root is needed"
for program in "$MESH" dockerd docker docker-compose unshare ip; do
    command -v "$program" > /dev/null || fail "$program is missing"
done
WORK=$(mktemp -d /tmp/against-docker-XXXXXX)
export MESH WORK MESH_HOME=$WORK/home MESH_SUBSTITUTE=always
trap 'rm -rf "$WORK"' EXIT
# Packages that the tests fetched are used again.
mkdir -p "$MESH_HOME/data" target/tmp/images
ln -s "$PWD/target/tmp/images" "$MESH_HOME/data/images"
write_projects
in_redis "$MESH" pull > /dev/null 2>&1 && in_one "$MESH" pull > /dev/null 2>&1 || fail "could not fetch the images"
in_redis "$MESH" down > /dev/null 2>&1 || true
unshare --net --mount "$BASH" benches/against-docker.sh --inside
