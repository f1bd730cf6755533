/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs a fuzz target over every file of the directories given, as TAP. In a
 * fuzzing build, the fuzzer's own main() stands here. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
    static uint8_t data[1 << 20];
    FILE *f = fopen(path, "re");
    size_t size;

    if (!f)
        return -1;
    size = fread(data, 1, sizeof(data), f);
    fclose(f);
    return LLVMFuzzerTestOneInput(data, size);
}

static int is_input(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

int main(int argc, char **argv)
{
    unsigned n = 0;

    for (int i = 1; i < argc; i++) {
        struct dirent **entries;
        int count = scandir(argv[i], &entries, is_input, alphasort);

        if (count <= 0) {
            fprintf(stderr, "no inputs in %s\n", argv[i]);
            return EXIT_FAILURE;
        }
        for (int j = 0; j < count; j++) {
            char path[4096];

            snprintf(path, sizeof(path), "%s/%s", argv[i], entries[j]->d_name);
            if (replay_file(path) != 0) {
                fprintf(stderr, "%s failed\n", path);
                return EXIT_FAILURE;
            }
            n++;
            free(entries[j]);
        }
        free(entries);
    }
    printf("ok 1 - %u inputs\n1..1\n", n);
    return EXIT_SUCCESS;
}
