// Credits the kernel's random pool, in a machine of which nothing is secret: without it xl sleeps for seconds
// in each create. Fact: RNDADDENTROPY takes struct rand_pool_info (linux/random.h): bits, size in bytes, the
// bytes.
#include <fcntl.h>
#include <linux/random.h>
#include <sys/ioctl.h>

int main(void) {
    struct {
        int bits, size;
        unsigned char bytes[64];
    } pool = {512, 64, {1, 2, 3, 4, 5, 6, 7, 8}};
    int random = open("/dev/urandom", O_WRONLY);
    return random < 0 || ioctl(random, RNDADDENTROPY, &pool) != 0;
}
