#!/usr/bin/env bash
# Runs a program on an emulated processor: boots Linux in Bochs from a disc that holds the program and what it reads.
#
#   emulate.sh KERNEL_PACKAGE FOLDER COMMAND
#
# FOLDER becomes the root of the file system, with the shared libraries of the programs that lie in it; COMMAND is run
# there by a shell. What it prints is printed here, and its exit status is ours. FOLDER is changed: it is for this alone.
set -euo pipefail

kernel_package=$1 root=$(realpath "$2") command=$3
model=${EMULATED_CPU:-corei7_icelake_u}  # the first of `bochs --help cpu` with AVX-512 and VNNI
megabytes=1024
work=$(mktemp -d)
serial=$work/serial
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT

# The programs' libraries where their loader looks, and a shell
mkdir -p "$root"/{bin,dev,proc,lib64}
while read -r library; do
  install -D "$(realpath "$library")" "$root$library"
done < <(find "$root" -maxdepth 1 -type f -executable -exec ldd {} + 2>/dev/null | grep -o '/lib[^ ]*\.so[^ ]*' | sort -u)
cp /bin/busybox "$root/bin/busybox"
for tool in cat grep mount poweroff sh sleep stty; do ln -sf busybox "$root/bin/$tool"; done
printf '%s\n' "$command" >"$root/command"
# LD_BIND_NOW: while it looks a function up, the loader saves registers with XSAVEC, which Bochs has wrong (see below).
cat >"$root/init" <<'END'
#!/bin/sh
export LD_BIND_NOW=1
mount -t proc proc /proc
mount -t devtmpfs dev /dev
stty -onlcr </dev/console
if grep -q avx512bw /proc/cpuinfo; then
  sh /command
  echo "emulated status $?"
else
  echo "the emulated processor has no AVX-512"
fi
sleep 1
poweroff -f
END
chmod +x "$root/init"

# A disc that boots. Bochs names a size of XSAVE's compacted form that is not the sum of its parts, on which Linux gives
# up all of XSAVE and with it AVX, and none for the protection keys. It says that fast strings are off, on which Linux's
# memmove goes wrong where short ones are said to be fast. Hence clearcpuid.
dpkg -x "$kernel_package" "$work/kernel"
mkdir "$work/disc"
cp "$work"/kernel/boot/vmlinuz-* "$work/disc/linux"
cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$work/disc"
(cd "$root" && find . | cpio --quiet -o -H newc) >"$work/disc/initrd"
cat >"$work/disc/isolinux.cfg" <<'END'
default linux
label linux
  kernel linux
  append initrd=initrd console=ttyS0 loglevel=2 clearcpuid=xsaves,xsavec,pku,fsrm nosmp mitigations=off nokaslr lpj=1000000 tsc=reliable panic=-1
END
xorriso -as mkisofs -quiet -o "$work/disc.iso" -b isolinux.bin -c boot.cat -no-emul-boot -boot-load-size 4 \
  -boot-info-table "$work/disc" 2>/dev/null

cat >"$work/bochsrc" <<END
config_interface: textconfig
display_library: term
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
cpu: model=$model, count=1, ips=50000000, reset_on_triple_fault=0
memory: guest=$megabytes, host=$megabytes
clock: sync=none
boot: cdrom
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path=$work/disc.iso, status=inserted
com1: enabled=1, mode=file, dev=$serial
log: $work/log
panic: action=fatal
END
# Debian's Bochs has a debugger, which waits for "c" to continue, and shows the screen on a terminal of its own, which
# somebody has to read. It takes the power going off for a failure.
touch "$serial" "$work/screen"
tail -f "$serial" &
tail -f "$work/screen" | sed -n '/connected to screen/{s/.*"\(.*\)".*/\1/p;q}' | { read -r screen && cat "$screen" &>/dev/null; } &
echo c | TERM=xterm bochs -q -f "$work/bochsrc" >"$work/screen" 2>&1 || true
sleep 2  # for tail

status=$(sed -n 's/^emulated status \([0-9]*\).*/\1/p' "$serial")
[ -n "$status" ] || { tail -n 5 "$work/log" >&2; exit 1; }
exit "$status"
