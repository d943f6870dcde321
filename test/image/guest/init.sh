#!/bin/sh
# First process of the test board: a plain start-up without a service manager. Nothing is prepared for containers: no controllers are
# enabled, no modules loaded. What helio needs beyond the mounts every board has, it must bring about itself.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount -t proc -o nosuid,nodev,noexec proc /proc
mount -t sysfs -o nosuid,nodev,noexec sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts -o gid=5,mode=620 devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t tmpfs run /run
mount -t cgroup2 -o nosuid,nodev,noexec,nsdelegate cgroup2 /sys/fs/cgroup
hostname board-1
ip link set lo up
read -r line < /proc/cmdline
for word in $line; do case $word in stage=*) export STAGE="${word#stage=}" ;; esac; done
node /guest/check.ts
sync
poweroff -f
