#!/bin/bash
# An image of 100 MB out of a registry of this machine until its program has run: Mesh beside podman.
#
#   benches/against-podman.sh [MESH]        (default: target/release/mesh)
#
# Needs root and Debian's docker-registry, skopeo, podman and busybox-static. Everything lives in a temporary
# directory that is gone at the end. The two take turns, so that noise hits both; each time with an empty
# store. The registry gives gzip layers: one of busybox, two of 50 MB that do not compress.
set -euo pipefail

ROUNDS=5
LAYER_BYTES=50000000
PORT=${PORT:-5099}

fail() { echo "against-podman: $*" >&2; exit 1; }
now_ms() { echo $(($(date +%s%N) / 1000000)); }

timed() {
    local begun
    begun=$(now_ms)
    "$@" > "$WORK/output" 2>&1 || { cat "$WORK/output" >&2; fail "failed: $*"; }
    echo $(($(now_ms) - begun))
}

report() {
    sort -n "$2" | awk -v name="$1" \
        '{ all[NR] = $1 } END { printf "%-46s %6d ms  (%d to %d ms, %d runs)\n", name, all[int((NR + 1) / 2)], all[1], all[NR], NR }'
}

# An archive of `docker save`'s form.
make_image() {
    python3 - "$WORK/image.tar" "$LAYER_BYTES" << 'PYTHON'
import hashlib, io, json, os, random, sys, tarfile
out, size = sys.argv[1], int(sys.argv[2])
def layer(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tape:
        for path, content, mode in files:
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), mode
            tape.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
busybox = next(p for p in ("/bin/busybox", "/usr/bin/busybox") if os.path.exists(p))
layers = [layer([("bin/busybox", open(busybox, "rb").read(), 0o755)])]
for seed in (1, 2):
    noise = random.Random(seed)
    layers.append(layer([(f"data/{seed}-{at}", noise.randbytes(size // 500), 0o644) for at in range(500)]))
digest = lambda content: hashlib.sha256(content).hexdigest()
machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
config = json.dumps({"architecture": machine, "os": "linux", "config": {"Cmd": ["/bin/busybox", "true"]},
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest(content) for content in layers]}}).encode()
with tarfile.open(out, "w") as archive:
    def put(name, content):
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    for content in layers:
        put(digest(content) + "/layer.tar", content)
    put(digest(config) + ".json", config)
    put("manifest.json", json.dumps([{"Config": digest(config) + ".json", "RepoTags": ["bench:1"],
        "Layers": [digest(content) + "/layer.tar" for content in layers]}]).encode())
PYTHON
}

clean() {
    [ -z "${REGISTRY:-}" ] || kill "$REGISTRY" 2> /dev/null || true
    rm -rf "$WORK"
}

[ "$(id -u)" = 0 ] || fail "needs root"
MESH=$(realpath "${1:-$(dirname "$0")/../target/release/mesh}")
for program in "$MESH" docker-registry skopeo podman python3; do
    command -v "$program" > /dev/null || fail "$program is not there"
done
WORK=$(mktemp -d)
trap clean EXIT
IMAGE=localhost:$PORT/bench:1

make_image
printf "version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %s/registry}}\nhttp: {addr: '127.0.0.1:%s'}\n" \
    "$WORK" "$PORT" > "$WORK/registry.yml"
docker-registry serve "$WORK/registry.yml" > /dev/null 2>&1 &
REGISTRY=$!
until skopeo --insecure-policy copy -q --dest-tls-verify=false "docker-archive:$WORK/image.tar" "docker://$IMAGE" 2> /dev/null; do
    kill -0 "$REGISTRY" 2> /dev/null || fail "the registry does not run; is port $PORT free?"
    sleep 0.1
done

mkdir -p "$WORK/project"
printf 'services:\n  a: {image: "%s"}\n' "$IMAGE" > "$WORK/project/compose.yaml"
cd "$WORK/project"
for round in $(seq "$ROUNDS"); do
    export MESH_HOME="$WORK/mesh-$round"
    timed "$MESH" run --rm a >> "$WORK/mesh"
    timed "$MESH" run --rm a >> "$WORK/mesh-again"
    "$MESH" down > /dev/null 2>&1 || true
    rm -rf "$MESH_HOME"
    podman=(podman --root "$WORK/podman-$round" --runroot "$WORK/run-$round" --storage-driver overlay)
    timed "${podman[@]}" run --rm --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --tls-verify=false "$IMAGE" >> "$WORK/podman"
    timed "${podman[@]}" run --rm --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --tls-verify=false "$IMAGE" >> "$WORK/podman-again"
    "${podman[@]}" system reset -f > /dev/null 2>&1 || true
done
"$MESH" version --short 2> /dev/null | sed 's/^/mesh /' || true
podman --version
report "Mesh: pull, unpack, run" "$WORK/mesh"
report "podman: the same" "$WORK/podman"
report "Mesh: run what is stored" "$WORK/mesh-again"
report "podman: the same" "$WORK/podman-again"
