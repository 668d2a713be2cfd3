#!/bin/busybox sh
# The first program of the guest in which KVM runs: loads KVM, runs the job, and powers the guest off.
# ZONULE_JOB and ZONULE_ROUNDS come from the kernel's command line.
export PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
/bin/busybox mount -t proc proc /proc
/bin/busybox --install -s /bin
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
# The self-test boots a machine of 5 GiB, of which it uses little.
echo 1 > /proc/sys/vm/overcommit_memory
while read -r module; do
  insmod "/modules/$module" || echo "cannot load the module $module"
done < /modules/order
# The source tree as far as the job needs it.
cd /work || echo "there is no /work"
export ZONULE_ACCEL=kvm ZONULE_NAMESPACE=1 ZONULE_IMAGE=/work/target/zonule.elf
/xtask nested-inside > /dev/ttyS1 2>&1
poweroff -f
