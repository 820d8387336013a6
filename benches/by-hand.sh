#!/bin/sh
# A RabbitMQ with nothing of Mesh around it but its layers: overlay, namespaces, chroot.
# Prints the milliseconds from its entrypoint's start until clients are let in.
set -eu
merged=$1; lower=$2
mount -t tmpfs none "$merged.rw"
mkdir "$merged.rw/upper" "$merged.rw/work"
mount -t overlay none -o "lowerdir=$lower,upperdir=$merged.rw/upper,workdir=$merged.rw/work" "$merged"
mount -t proc none "$merged/proc"
mount --rbind /dev "$merged/dev"
ip link set lo up
hostname rabbitmq
echo "127.0.0.1 localhost rabbitmq" > "$merged/etc/hosts"
export HOME=/var/lib/rabbitmq LANG=C.UTF-8 LC_ALL=C.UTF-8 RABBITMQ_DATA_DIR=/var/lib/rabbitmq RABBITMQ_LOGS=- PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
begun=$(date +%s%N)
chroot "$merged" docker-entrypoint.sh rabbitmq-server > "$merged.log" 2>&1 &
tries=0
until chroot "$merged" sh -c 'curl --silent --output /dev/null http://127.0.0.1:15672/ && nc -z 127.0.0.1 5672'; do
    tries=$((tries + 1)); [ "$tries" -lt 1200 ] || exit 1
    sleep 0.05
done
echo $((($(date +%s%N) - begun) / 1000000))
