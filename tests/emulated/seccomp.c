/* Answers for the emulator, which knows no seccomp: the filter is taken and does nothing. For tests of the programs for arm64
   under qemu-user; the engine host rightly refuses to run without its filter. */
#include <errno.h>

long syscall(long number, long a, long b, long c, long d, long e, long f) {
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    if (number == 277) /* seccomp */
        return 0;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    if ((unsigned long)x0 > -4096UL) {
        errno = (int)-x0;
        return -1;
    }
    return x0;
}
