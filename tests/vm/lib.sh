# SPDX-License-Identifier: MIT
# Shared by the scripts of the VM harness: where things are, how they speak.

vm_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$vm_dir/../.." && pwd)
cache=${SYMPHONY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/symphony}
mirror=${MIRROR:-http://deb.debian.org/debian}

say() { echo "vm: $*" >&2; }
die() { echo "vm: error: $*" >&2; exit 1; }

need_root() {
	[ "$(id -u)" = 0 ] || die "this needs root (chroot, mount namespaces); run it under sudo"
}

# need <command> <package>: install what the host lacks. Retried, as mirrors
# fail for seconds at a time.
need() {
	command -v "$1" >/dev/null && return
	command -v apt-get >/dev/null || die "$1 is missing; install it and run again"
	say "installing $2 on this machine ($1 is missing)"
	local try
	for try in 1 2 3; do
		apt-get update -q >&2 &&
			DEBIAN_FRONTEND=noninteractive apt-get install -y -q \
				--no-install-recommends "$2" >&2 && return
		sleep $((try * 5))
	done
	die "could not install $2"
}

# The image is named by what it is made from: another package list is another
# image.
image_path() {
	local key
	key=$(cat "$vm_dir/packages" "$vm_dir"/{image,init,initramfs} | sha256sum)
	echo "$cache/image-${key:0:12}"
}

# What there is to know about the kernel named by KERNEL.
choose_kernel() {
	kernel=${KERNEL:-6.12}
	if [[ $kernel =~ ^(debug|kcsan|gcov)$ ]]; then
		local debug
		debug=$("$vm_dir/debug-kernel" "$kernel")
		release=$(<"$debug/release") vmlinuz=$debug/bzImage initramfs=plain
		kdir=/usr/src/linux-debug binds=(-b "$debug:$kdir")
	else
		release=$(cd "$image/lib/modules" && ls -d "$kernel".* 2>/dev/null | sort -V | tail -n 1)
		[ "$release" ] || die "no kernel $kernel in the image: there are 6.12, 7.3, debug, kcsan and gcov"
		vmlinuz=$image/boot/vmlinuz-$release initramfs=$release
		kdir=/lib/modules/$release/build binds=()
	fi
}

# The folder of a module built for kernel <release>, as it is or changed by MODULE.
module_name() {
	local change name=kmod-$1
	for change in ${MODULE-}; do
		name+=-$(basename "$change" .patch)
	done
	echo "$name"
}
