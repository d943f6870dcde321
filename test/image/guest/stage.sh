#!/bin/sh
# Started by systemd: the checks of the stage that the kernel was started for.
read -r line < /proc/cmdline
for word in $line; do case $word in stage=*) export STAGE="${word#stage=}" ;; esac; done
exec /usr/bin/node /guest/check.ts
