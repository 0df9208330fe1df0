// stalls COMMAND ARGUMENTS...: runs a command and looks at the clock all the while; at its end prints how
// long it took and the longest time for which this process did not run, both in milliseconds.
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

int main(int count, char** arguments) {
    if (count < 2) {
        fprintf(stderr, "stalls COMMAND ARGUMENTS...\n");
        return 2;
    }
    double begin = milliseconds();
    pid_t child = fork();
    if (child == 0) {
        execvp(arguments[1], arguments + 1);
        perror(arguments[1]);
        _exit(127);
    }
    double last = begin, longest = 0;
    int status = 0;
    while (waitpid(child, &status, WNOHANG) == 0) {
        double now = milliseconds();
        if (now - last > longest) longest = now - last;
        last = now;
    }
    printf("took %.1f ms, longest stall %.1f ms\n", milliseconds() - begin, longest);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
