// torture write FOLDER SEED: changes files in a file system, makes each change durable, and only then says
// so, a line for each: "acked WHAT PLACE NUMBER". Numbers rise, also from one run to the next. torture check
// FOLDER: a line for each place, "have WHAT PLACE NUMBER", or "bad WHAT PLACE" where what lies there was
// never written so. Whoever compares both finds what was lost: a number below one that was acknowledged.
//
// What: `record`, a block of `region` that is overwritten in place (O_DIRECT); `file`, a file that is made
// beside, and renamed over the old one; `entry`, one added to `log`.  A file that was removed and
// acknowledged so is "acked gone PLACE NUMBER".
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { kSector = 512, kBlock = 4096, kRecords = 512, kFiles = 32, kMostOfFile = 200 };

// What fills a sector: its number, its place, and words that follow from both.
struct sector {
    uint64_t number, place, words[kSector / 8 - 2];
};
_Static_assert(sizeof(struct sector) == kSector, "a sector");

static uint64_t mix(uint64_t value) {
    value = (value ^ (value >> 31)) * 0x9e3779b97f4a7c15u;
    value = (value ^ (value >> 29)) * 0xbf58476d1ce4e5b9u;
    return value ^ (value >> 32);
}

static void fill(struct sector* sector, uint64_t number, uint64_t place) {
    sector->number = number;
    sector->place = place;
    for (unsigned i = 0; i < kSector / 8 - 2; ++i)
        sector->words[i] = mix(number * 1000003 + place * 131 + i);
}

static int is_good(const struct sector* sector, uint64_t place) {
    struct sector wanted;
    fill(&wanted, sector->number, place);
    return memcmp(&wanted, sector, kSector) == 0;
}

static void must(int good, const char* what) {
    if (good) return;
    printf("failed %s: %s\n", what, strerror(errno));
    fflush(stdout);
    exit(1);
}

static void acknowledge(const char* what, uint64_t place, uint64_t number) {
    printf("acked %s %llu %llu\n", what, (unsigned long long)place, (unsigned long long)number);
    fflush(stdout);
}

static void sync_folder(void) {
    int folder = open(".", O_RDONLY | O_DIRECTORY);
    must(folder >= 0 && fsync(folder) == 0, "fsync of the folder");
    close(folder);
}

static void write_record(uint64_t place, uint64_t number) {
    static _Alignas(kBlock) struct sector block[kBlock / kSector];
    int file = open("region", O_WRONLY | O_DIRECT);
    must(file >= 0, "open of region");
    for (unsigned i = 0; i < kBlock / kSector; ++i)
        fill(&block[i], number, place * (kBlock / kSector) + i);
    must(pwrite(file, block, kBlock, (off_t)(place * kBlock)) == kBlock, "write of a record");
    must(fdatasync(file) == 0, "fdatasync of region");
    close(file);
    acknowledge("record", place, number);
}

static void write_file(uint64_t place, uint64_t number) {
    char name[16], fresh[16];
    snprintf(name, sizeof name, "file%u", (unsigned)place);
    snprintf(fresh, sizeof fresh, "new%u", (unsigned)place);
    int file = open(fresh, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    must(file >= 0, "open of a new file");
    for (uint64_t i = 0; i < 1 + mix(number) % kMostOfFile; ++i) {
        struct sector sector;
        fill(&sector, number, place * kMostOfFile + i);
        must(write(file, &sector, kSector) == kSector, "write of a file");
    }
    must(fsync(file) == 0 && close(file) == 0, "fsync of a file");
    must(rename(fresh, name) == 0, "rename");
    sync_folder();
    acknowledge("file", place, number);
}

static void remove_file(uint64_t place, uint64_t number) {
    char name[16];
    snprintf(name, sizeof name, "file%u", (unsigned)place);
    if (unlink(name) != 0) return;
    sync_folder();
    acknowledge("gone", place, number);
}

static void write_entry(uint64_t number) {
    int file = open("log", O_WRONLY | O_APPEND | O_CREAT, 0600);
    must(file >= 0, "open of log");
    struct sector sector;
    fill(&sector, number, 0);
    must(write(file, &sector, kSector) == kSector && fsync(file) == 0, "write of log");
    close(file);
    acknowledge("entry", 0, number);
}

static void find(const char* what, uint64_t place, uint64_t number, uint64_t* highest) {
    printf("have %s %llu %llu\n", what, (unsigned long long)place, (unsigned long long)number);
    if (number > *highest) *highest = number;
}

static void check_region(uint64_t* highest) {
    FILE* file = fopen("region", "r");
    for (uint64_t place = 0; file != NULL && place < kRecords; ++place) {
        struct sector block[kBlock / kSector];
        if (fread(block, kBlock, 1, file) != 1) break;
        // A block that was being written may be old in one sector and new in the next: the oldest counts.
        uint64_t oldest = UINT64_MAX;
        int good = 1;
        for (unsigned i = 0; i < kBlock / kSector; ++i) {
            good &= is_good(&block[i], place * (kBlock / kSector) + i) || block[i].number == 0;
            if (block[i].number < oldest) oldest = block[i].number;
        }
        if (good)
            find("record", place, oldest, highest);
        else
            printf("bad record %u\n", (unsigned)place);
    }
    if (file != NULL) fclose(file);
}

static void check_files(uint64_t* highest) {
    for (uint64_t place = 0; place < kFiles; ++place) {
        char name[16];
        snprintf(name, sizeof name, "file%u", (unsigned)place);
        FILE* file = fopen(name, "r");
        if (file == NULL) continue;
        uint64_t sectors = 0, number = 0;
        int good = 1;
        struct sector sector;
        for (; fread(&sector, kSector, 1, file) == 1; ++sectors) {
            if (sectors == 0) number = sector.number;
            good &= sector.number == number && is_good(&sector, place * kMostOfFile + sectors);
        }
        fclose(file);
        if (good && sectors == 1 + mix(number) % kMostOfFile)
            find("file", place, number, highest);
        else
            printf("bad file %u\n", (unsigned)place);
    }
}

static void check_log(uint64_t* highest) {
    FILE* file = fopen("log", "r");
    struct sector sector;
    uint64_t last = 0;
    while (file != NULL && fread(&sector, kSector, 1, file) == 1) {
        // Its end may be one that was being written.
        if (!is_good(&sector, 0) || sector.number <= last) {
            printf("bad entry after %llu\n", (unsigned long long)last);
            break;
        }
        last = sector.number;
    }
    find("entry", 0, last, highest);
    if (file != NULL) fclose(file);
}

static uint64_t check(void) {
    uint64_t highest = 0;
    check_region(&highest);
    check_files(&highest);
    check_log(&highest);
    fflush(stdout);
    return highest;
}

static void torture(uint64_t seed) {
    struct stat found;
    if (stat("region", &found) != 0 || found.st_size != (off_t)kRecords * kBlock) {
        int file = open("region", O_WRONLY | O_CREAT, 0600);
        must(file >= 0 && ftruncate(file, (off_t)kRecords * kBlock) == 0 && fsync(file) == 0,
             "creation of region");
        close(file);
        sync_folder();
    }
    int shown = dup(1);
    must(shown >= 0 && freopen("/dev/null", "w", stdout) != NULL, "dup");
    uint64_t number = check();
    fflush(stdout);
    must(dup2(shown, 1) == 1, "dup2");
    printf("torture begins at %llu\n", (unsigned long long)number);
    fflush(stdout);
    for (;;) {
        ++number;
        uint64_t random = mix(seed * 7919 + number);
        switch (random % 8) {
            case 0:
                write_entry(number);
                break;
            case 1:
            case 2:
                write_file((random >> 8) % kFiles, number);
                break;
            case 3:
                remove_file((random >> 8) % kFiles, number);
                break;
            default:
                write_record((random >> 8) % kRecords, number);
                break;
        }
    }
}

int main(int count, char** words) {
    if (count < 3 || chdir(words[2]) != 0) {
        fprintf(stderr, "torture write FOLDER SEED | torture check FOLDER\n");
        return 2;
    }
    if (strcmp(words[1], "write") == 0 && count == 4) torture(strtoull(words[3], NULL, 0));
    check();
    return 0;
}
