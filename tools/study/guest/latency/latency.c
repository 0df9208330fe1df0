// How long an interrupt takes from the device to dom0's handler: a module for QEMU's device `edu`, which
// raises an interrupt in the very instruction that writes to its register (QEMU, docs/specs/edu.txt). Loading
// it measures, prints one line per row in the form of bench.c, and fails on purpose, so that nothing stays.
// Parameter: messages=1 for MSI, 0 for the line.
//
//   ..._handler   from the store that raises it to the first instruction of the handler, the CPU busy
//   ..._return    from that store to the code behind it, after the interrupt was ended
//   ..._idle      from the device's own timer to the handler, the machine asleep
#include <linux/completion.h>
#include <linux/interrupt.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/sort.h>

enum { kTimes = 64, kIdleTimes = 8 };
enum {
    kRaise = 0x60,
    kAcknowledge = 0x64,
    kDmaSource = 0x80,
    kDmaTarget = 0x88,
    kDmaCount = 0x90,
    kDmaCommand = 0x98
};
enum { kDmaRun = 1, kDmaFromDevice = 2, kDmaInterrupt = 4, kDeviceBuffer = 0x40000 };
// edu ends a transfer so long after the command, by its own timer, whose clock counts whole milliseconds.
// Under
// `-icount` that clock and the time stamp counter are the same, in nanoseconds.
static const u64 kMillisecond = 1000 * 1000;
static const u64 kDmaMilliseconds = 100;

static bool messages;
module_param(messages, bool, 0444);

static struct pci_dev* device;
static void __iomem* registers;
static u64 handled_at;
static int count;
static DECLARE_COMPLETION(handled);

static irqreturn_t handle(int number, void* data) {
    u64 now = rdtsc_ordered();
    if (!readl(registers + 0x24)) return IRQ_NONE;
    handled_at = now;
    writel(readl(registers + 0x24), registers + kAcknowledge);
    WRITE_ONCE(count, count + 1);
    complete(&handled);
    return IRQ_HANDLED;
}

static int compare(const void* left, const void* right) {
    u64 a = *(const u64*)left, b = *(const u64*)right;
    return a < b ? -1 : a > b;
}

static void print_row(const char* what, u64* ticks, int rows) {
    sort(ticks, rows, sizeof *ticks, compare, NULL);
    pr_emerg("BENCH dom0 interrupt_%s_%s min=%llu.0 med=%llu.0 n=%d\n", messages ? "message" : "line", what,
             ticks[0], ticks[rows / 2], rows);
}

static void measure_busy(void) {
    static u64 handler[kTimes], whole[kTimes];
    for (int i = 0; i < kTimes; i++) {
        int before = READ_ONCE(count);
        u64 start = rdtsc_ordered();
        writel(1, registers + kRaise);
        while (READ_ONCE(count) == before)
            cpu_relax();
        whole[i] = rdtsc_ordered() - start;
        handler[i] = handled_at - start;
    }
    print_row("handler", handler, kTimes);
    print_row("return", whole, kTimes);
}

static int measure_idle(void) {
    static u64 ticks[kIdleTimes];
    dma_addr_t address;
    void* buffer = dma_alloc_coherent(&device->dev, PAGE_SIZE, &address, GFP_KERNEL);
    if (!buffer) return -ENOMEM;
    for (int i = 0; i < kIdleTimes; i++) {
        u64 start;
        reinit_completion(&handled);
        writeq(kDeviceBuffer, registers + kDmaSource);
        writeq(address, registers + kDmaTarget);
        writeq(64, registers + kDmaCount);
        start = rdtsc_ordered();
        writeq(kDmaRun | kDmaFromDevice | kDmaInterrupt, registers + kDmaCommand);
        if (!wait_for_completion_timeout(&handled, 2 * HZ)) {
            dma_free_coherent(&device->dev, PAGE_SIZE, buffer, address);
            return -ETIMEDOUT;
        }
        ticks[i] = handled_at - (start / kMillisecond + kDmaMilliseconds) * kMillisecond;
    }
    print_row("idle", ticks, kIdleTimes);
    dma_free_coherent(&device->dev, PAGE_SIZE, buffer, address);
    return 0;
}

static int measure(void) {
    int result = dma_set_mask_and_coherent(&device->dev, DMA_BIT_MASK(28));
    if (result) return result;
    result = pci_alloc_irq_vectors(device, 1, 1, messages ? PCI_IRQ_MSI : PCI_IRQ_LEGACY);
    if (result < 0) return result;
    result = request_irq(pci_irq_vector(device, 0), handle, messages ? 0 : IRQF_SHARED, "edu", device);
    if (!result) {
        measure_busy();
        result = measure_idle();
        free_irq(pci_irq_vector(device, 0), device);
    }
    pci_free_irq_vectors(device);
    return result;
}

static int __init latency_init(void) {
    int result = -ENODEV;
    device = pci_get_device(0x1234, 0x11e8, NULL);
    if (!device) goto out;
    result = pci_enable_device(device);
    if (result) goto put;
    pci_set_master(device);
    registers = pci_iomap(device, 0, 0);
    result = registers ? measure() : -ENOMEM;
    if (registers) pci_iounmap(device, registers);
    pci_disable_device(device);
put:
    pci_dev_put(device);
out:
    if (result) pr_emerg("BENCH failed: %d\n", result);
    return result ? result : -EAGAIN;
}
module_init(latency_init);
MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("Interrupt latency by QEMU's edu device");
