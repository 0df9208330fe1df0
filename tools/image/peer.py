"""The peer: Debian's Xen 4.17 with its tools, to compare Torii with. Everything comes from Debian packages, unpacked only."""

import gzip
from commands.steps import BUILD, CACHE, TOOLS, run
from image import parts
from image.build import ACCOUNTS, DOM0_MODULES, GROUPS, guest_archive
from kernels.fetch import package_folder

FILES = TOOLS / "image"
XEN_TOOLS = ("xl", "xenstored", "xenconsoled", "xen-init-dom0", "xenconsole", "libxl-save-helper")
# The tools, and the libraries that they need beside the C library.
PACKAGES = ("xen-utils-4.17", "libxenmisc4.17", "libxenstore4", "libxencall1", "libxenevtchn1", "libxengnttab1",
            "libxenforeignmemory1", "libxendevicemodel1", "libxentoolcore1", "libxentoollog1", "libxenhypfs1", "libyajl2",
            "libuuid1", "libnl-3-200", "libnl-route-3-200", "libbz2-1.0", "liblzma5", "liblzo2-2", "libzstd1", "zlib1g",
            "libfdt1", "libaio1", "libsystemd0", "libncurses6", "libtinfo6")


def hypervisor():
    """Debian's Xen as an ELF file that QEMU's multiboot takes."""
    target = CACHE / "xen-4.17.elf"
    if not target.exists():
        folder = package_folder("xen-hypervisor-4.17-amd64")
        partial = target.with_suffix(".partial")
        partial.write_bytes(gzip.decompress((folder / "boot/xen-4.17-amd64.gz").read_bytes()))
        partial.rename(target)
    return target


def archive(kernel, guest_kernels, programs=None):
    """dom0's initramfs with Xen's tools, and for each guest kernel /var/lib/guests/NAME.cfg for `xl create`. `programs` (see
    parts.add_programs) go into it and into the guests'."""
    image = parts.base_archive()
    parts.add_programs(image, programs)
    parts.add_modules(image, kernel, DOM0_MODULES)
    parts.add_xenstore_clients(image)
    folders = [package_folder(package) for package in PACKAGES]
    search = [*parts.library_folders(folders), folders[0] / "usr/lib/xen-4.17" / parts.LIBRARIES]
    for name in XEN_TOOLS:
        parts.add_program(image, f"usr/lib/xen-4.17/bin/{name}", folders[0] / "usr/lib/xen-4.17/bin" / name, search)
    # Loaded by pthread_cancel when it is first used, so ldd does not see it.
    image.add_copy(f"{parts.LIBRARIES}/libgcc_s.so.1", f"/{parts.LIBRARIES}/libgcc_s.so.1", 0o755)
    program = BUILD / "images/credit-random-pool"
    program.parent.mkdir(parents=True, exist_ok=True)
    run(["gcc", "-O2", "-static", "-o", program, FILES / "peer/credit_random_pool.c"], quiet=True)
    image.add_copy("usr/bin/credit-random-pool", program, 0o755)
    image.add_copy("etc/init.d/start-dom0", FILES / "dom0/start", 0o755)
    image.add_copy("etc/init.d/start", FILES / "peer/start", 0o755)
    image.add_copy("etc/inittab", FILES / "peer/inittab")
    image.add_copy("etc/profile", FILES / "peer/profile")
    image.add_file("etc/xen/xl.conf", 'autoballoon="off"\n')
    image.add_file("etc/passwd", ACCOUNTS)
    image.add_file("etc/group", GROUPS)
    for name, guest_kernel in guest_kernels.items():
        add_guest(image, name, guest_kernel, programs)
    return image


def add_guest(image, name, kernel, programs=None):
    """Add a guest's kernel, initramfs and xl configuration."""
    folder = f"var/lib/guests/{name}"
    initrd = BUILD / "images" / f"guest-{kernel.release}.cpio"
    guest_archive(kernel, programs).write(initrd)
    image.add_copy(f"{folder}/vmlinuz", kernel.image, 0o644)
    image.add_copy(f"{folder}/initrd.cpio", initrd, 0o644)
    # tsc_mode: the emulated processor has no invariant TSC, so by default Xen traps rdtsc in a guest.
    image.add_file(f"var/lib/guests/{name}.cfg",
                   f'name="{name}"\nkernel="/{folder}/vmlinuz"\nramdisk="/{folder}/initrd.cpio"\nmemory=256\nvcpus=1\n'
                   f'tsc_mode="native"\nextra="console=hvc0 quiet"\non_poweroff="destroy"\non_crash="destroy"\n')
