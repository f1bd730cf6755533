/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vgpu: the command inside a guest. This file reads the options and chooses the subcommand. */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "command.h"
#include "ring-keeper.h"

#define TIMEOUT_DEFAULT_MS 30000
#define COUNT_MAX 10000000u

/* Options that only some subcommands take. */
enum {
    TAKES_JSON = 1 << 0,
    TAKES_TYPE = 1 << 1,
    TAKES_OUTPUT = 1 << 2,
    TAKES_COUNT = 1 << 3,
    TAKES_PATH = 1 << 4,
    TAKES_DEPTH = 1 << 5,
    TAKES_ALPHA = 1 << 6,
    TAKES_INNER = 1 << 7,
    TAKES_LAUNCH = 1 << 8,
};

/* As many operands as the user likes, and one at least */
#define MANY 1000

static const char run_help[] =
    "Usage: vgpu run [OPTION]... MODULE --kernel NAME --grid X[,Y,Z] --block X[,Y,Z]\n"
    "                [ARGUMENT]...\n"
    "Run a kernel on the host's GPU, in a CUDA session.\n"
    "\n"
    "MODULE is a file of PTX (nvcc -ptx), a cubin or a fatbin. Each ARGUMENT is one of the\n"
    "kernel's parameters, in their order, of just its size:\n"
    "  i32:N u32:N i64:N u64:N   a whole number; i8, u8, i16 and u16 also\n"
    "  f32:X f64:X               a floating-point number\n"
    "  raw:FILE                  the file's bytes themselves, for a structure\n"
    "or the address of a buffer on the GPU:\n"
    "  in:FILE                   with the file's bytes\n"
    "  out:FILE:BYTES            with zeros; the file has what becomes of them\n"
    "  inout:FILE                with the file's bytes; the file has what becomes of them\n"
    "  zero:BYTES                with zeros\n"
    "BYTES may end with K, M or G.\n"
    "\n"
    "Options:\n"
    "      --kernel=NAME         which kernel; a wrong name shows those that there are\n"
    "      --grid=X[,Y,Z]        how many blocks\n"
    "      --block=X[,Y,Z]       how many threads in a block\n"
    "      --shared=BYTES        dynamic shared memory of a block (0 without it)\n"
    "      --repeat=N            launch it once, fill the buffers anew, launch it N times, and\n"
    "                            print how long these took\n"
    "  -d, --device=DEVICE       number or PCI address of the device; the first without it\n"
    "  -t, --timeout=SECONDS     how long to wait for the session\n"
    "\n"
    "Example: y = 2 x + y, of a million floats, by\n"
    "saxpy(unsigned n, float a, const float *x, float *y):\n"
    "  vgpu run saxpy.ptx --kernel saxpy --grid 3907 --block 256 \\\n"
    "      u32:1000000 f32:2 in:x.bin inout:y.bin\n";

static const struct command {
    const char *name;
    int (*run)(const options *o, char **argv);
    int operands;
    unsigned int takes;
    const char *help; /* of its own, or NULL */
} commands[] = {
    {"info", command_info, 0, TAKES_JSON},
    {"add", command_add, 2, 0},
    {"vecadd", command_vecadd, 2, TAKES_TYPE | TAKES_OUTPUT | TAKES_PATH},
    {"mul", command_mul, 2, TAKES_TYPE | TAKES_OUTPUT | TAKES_PATH},
    {"axpy", command_axpy, 2, TAKES_TYPE | TAKES_OUTPUT | TAKES_PATH | TAKES_ALPHA},
    {"dot", command_dot, 2, TAKES_TYPE | TAKES_PATH},
    {"sum", command_sum, 1, TAKES_TYPE | TAKES_PATH},
    {"min", command_min, 1, TAKES_TYPE | TAKES_PATH},
    {"max", command_max, 1, TAKES_TYPE | TAKES_PATH},
    {"matmul", command_matmul, 2, TAKES_TYPE | TAKES_OUTPUT | TAKES_PATH | TAKES_INNER},
    {"selftest", command_selftest, 0, 0},
    {"bind", command_bind, 0, 0},
    {"bench", command_bench, 0, TAKES_JSON | TAKES_COUNT | TAKES_PATH | TAKES_DEPTH},
    {"run", command_run, MANY, TAKES_LAUNCH, run_help},
    {"smi", command_smi, 0, TAKES_JSON},
    {"doctor", command_doctor, 0, TAKES_JSON},
    {RING_KEEPER_COMMAND, command_keep_rings, 1, 0},
};

static const struct option long_options[] = {
    {"device", required_argument, NULL, 'd'}, {"timeout", required_argument, NULL, 't'},
    {"interrupt", no_argument, NULL, 'i'},    {"json", no_argument, NULL, 'j'},
    {"type", required_argument, NULL, 'T'},   {"output", required_argument, NULL, 'o'},
    {"count", required_argument, NULL, 'n'},  {"path", required_argument, NULL, 'p'},
    {"depth", required_argument, NULL, 'D'},  {"alpha", required_argument, NULL, 'a'},
    {"inner", required_argument, NULL, 'k'},  {"kernel", required_argument, NULL, 'K'},
    {"grid", required_argument, NULL, 'G'},   {"block", required_argument, NULL, 'B'},
    {"shared", required_argument, NULL, 'S'}, {"repeat", required_argument, NULL, 'R'},
    {"help", no_argument, NULL, 'h'},         {"version", no_argument, NULL, 'V'},
    {"lane", required_argument, NULL, 'l'},   {0},
};

static const char *const path_names[] = {
    [PATH_AUTO] = "auto", [PATH_REGISTERS] = "registers", [PATH_RING] = "ring"};

/* The option was called --lane once, and scripts in guests may say so. It is not documented. */
static const char *const lane_names[] = {
    [PATH_AUTO] = "auto", [PATH_REGISTERS] = "slow", [PATH_RING] = "fast"};

static const char help[] =
    "Usage: vgpu [OPTION]... COMMAND [OPERAND]...\n"
    "Use the GPU pool behind this virtual machine's vgpu device.\n"
    "\n"
    "Commands:\n"
    "  info                      show the devices and what runs their pools\n"
    "  add A B                   print the 32-bit sum of two numbers\n"
    "  vecadd A.bin B.bin -o C.bin\n"
    "                            add two files of little-endian elements; - is the\n"
    "                            standard input or output\n"
    "  mul A.bin B.bin -o C.bin  multiply two files, element by element\n"
    "  axpy --alpha X A.bin B.bin -o C.bin\n"
    "                            X times the first file plus the second\n"
    "  dot A.bin B.bin           print the sum of the products of two files' elements\n"
    "  sum|min|max A.bin         print the sum, the smallest, the largest element of a file\n"
    "  matmul --inner K A.bin B.bin -o C.bin\n"
    "                            multiply two matrices, stored row by row; the first has\n"
    "                            K columns, the second K rows\n"
    "  selftest                  check the registers, errors and computations of a device\n"
    "  bench                     measure round trips of the scalar add, or requests on the\n"
    "                            ring\n"
    "  run MODULE --kernel NAME --grid X[,Y,Z] --block X[,Y,Z] [ARGUMENT]...\n"
    "                            run a kernel of a PTX, cubin or fatbin file in a CUDA\n"
    "                            session; an ARGUMENT is i32:N, u32:N, i64:N, u64:N, f32:X,\n"
    "                            f64:X, in:FILE, out:FILE:BYTES, inout:FILE or zero:BYTES;\n"
    "                            more in 'vgpu run --help'\n"
    "  smi                       show the GPU of a CUDA session, and the machine's sessions\n"
    "  doctor                    find what keeps programs from the GPU, and say what mends it\n"
    "  bind                      give a device to vfio-pci, for a kernel that is locked down\n"
    "\n"
    "Options:\n"
    "  -d, --device=DEVICE       number or PCI address of the device; the first without it\n"
    "  -t, --timeout=SECONDS     how long to wait for each request, 'infinity' for ever;\n"
    "                            30 without it\n"
    "  -i, --interrupt           wait by interrupt; binds the device to uio_pci_generic if\n"
    "                            it has no driver\n"
    "      --type=TYPE           int32, int64, float32 or float64 (int32 without it)\n"
    "  -o, --output=FILE         where the result goes\n"
    "      --path=PATH           ring: through the device's data window and ring; registers:\n"
    "                            through its registers (vecadd, bench); auto, without it: as\n"
    "                            it can\n"
    "      --alpha=X             axpy: the factor\n"
    "      --inner=K             matmul: columns of the first matrix\n"
    "  -n, --count=N             bench: how many requests, 1 to 10000000 (1000 without it)\n"
    "      --depth=N             bench: on the ring, with N requests outstanding, 1 to 1024\n"
    "      --kernel=NAME         run: which kernel\n"
    "      --grid=X[,Y,Z]        run: how many blocks\n"
    "      --block=X[,Y,Z]       run: how many threads in a block\n"
    "      --shared=BYTES        run: dynamic shared memory of a block (0 without it)\n"
    "      --repeat=N            run: launch the kernel N times more, and print how long it\n"
    "                            took\n"
    "      --json                info, bench, smi, doctor: print JSON\n"
    "      --help                print this help\n"
    "      --version             print the version\n"
    "\n"
    "Exit status: 0 success; 1 the host refused or failed a request, or a check failed;\n"
    "2 bad usage or input; 3 no such device; 4 timed out; 5 any other failure; 6 doctor has a\n"
    "warning, and nothing else.\n";

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < ELEMENTSOF(commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];

    return NULL;
}

static int parse_timeout(const char *text, int *ret_ms)
{
    double seconds;
    char *end;

    if (strcmp(text, "infinity") == 0) {
        *ret_ms = -1;
        return 0;
    }

    seconds = strtod(text, &end);
    if (end == text || *end != '\0' || !(seconds >= 0 && seconds <= 1000000))
        return -EINVAL;

    *ret_ms = (int) (seconds * 1000);
    return 0;
}

static int parse_range(const char *text, uint32_t max, uint32_t *ret_value)
{
    if (parse_number(text, ret_value) < 0 || *ret_value < 1 || *ret_value > max)
        return -EINVAL;
    return 0;
}

/* @names: by their place in enum host_path */
static int parse_path(const char *text, const char *const names[static 3], host_path *ret_path)
{
    for (size_t i = 0; i < 3; i++)
        if (strcmp(text, names[i]) == 0) {
            *ret_path = (host_path) i;
            return 0;
        }
    return -EINVAL;
}

static int parse_alpha(const char *text, options *o)
{
    char *end;

    o->alpha = strtod(text, &end);
    o->has_alpha = true;
    return end == text || *end != '\0' ? -EINVAL : 0;
}

static int bad_value(const char *option, const char *value)
{
    complain("invalid value '%s' for --%s", value, option);
    return EXIT_USAGE;
}

/* X[,Y,Z]: each from 1 on, 1 where it is not given */
static int parse_three(const char *text, uint32_t ret[static 3])
{
    char part[16];

    ret[0] = ret[1] = ret[2] = 1;
    for (int i = 0; i < 3; i++) {
        size_t n = strcspn(text, ",");

        if (n >= sizeof(part))
            return -EINVAL;
        memcpy(part, text, n);
        part[n] = '\0';
        if (parse_range(part, INT32_MAX, &ret[i]) < 0)
            return -EINVAL;
        if (text[n] == '\0')
            return 0;
        text += n + 1;
    }
    return -EINVAL;
}

/* The options of run. Returns an exit code. */
static int parse_launch(int c, const char *value, options *o)
{
    switch (c) {
    case 'K':
        o->kernel = value;
        return EXIT_OK;
    case 'G':
        return parse_three(value, o->grid) < 0 ? bad_value("grid", value) : EXIT_OK;
    case 'B':
        return parse_three(value, o->block) < 0 ? bad_value("block", value) : EXIT_OK;
    case 'S':
        return parse_number(value, &o->shared) < 0 ? bad_value("shared", value) : EXIT_OK;
    default:
        return parse_range(value, COUNT_MAX, &o->repeat) < 0 ? bad_value("repeat", value) : EXIT_OK;
    }
}

__attribute__((noreturn)) static void print_and_exit(const char *text)
{
    fputs(text, stdout);
    exit(finish_output(EXIT_OK));
}

/* @ret_taken: the TAKES_ bits of the options that were given. Returns an exit code. */
static int parse_options(int argc, char **argv, options *ret, unsigned int *ret_taken)
{
    options o = {.timeout_ms = TIMEOUT_DEFAULT_MS, .type = VGPU_INT32};
    unsigned int taken = 0;
    int c;

    while ((c = getopt_long(argc, argv, "d:t:io:n:", long_options, NULL)) != -1)
        switch (c) {
        case 'd':
            o.device = optarg;
            break;
        case 't':
            if (parse_timeout(optarg, &o.timeout_ms) < 0)
                return bad_value("timeout", optarg);
            break;
        case 'i':
            o.interrupt = true;
            break;
        case 'j':
            o.json = true;
            taken |= TAKES_JSON;
            break;
        case 'T':
            if (vgpu_type_from_string(optarg, &o.type) < 0)
                return bad_value("type", optarg);
            taken |= TAKES_TYPE;
            break;
        case 'o':
            o.output = optarg;
            taken |= TAKES_OUTPUT;
            break;
        case 'n':
            if (parse_range(optarg, COUNT_MAX, &o.count) < 0)
                return bad_value("count", optarg);
            taken |= TAKES_COUNT;
            break;
        case 'p':
            if (parse_path(optarg, path_names, &o.path) < 0)
                return bad_value("path", optarg);
            taken |= TAKES_PATH;
            break;
        case 'l':
            if (parse_path(optarg, lane_names, &o.path) < 0)
                return bad_value("lane", optarg);
            taken |= TAKES_PATH;
            break;
        case 'D':
            if (parse_range(optarg, VGPU_RING_ENTRIES_MAX, &o.depth) < 0)
                return bad_value("depth", optarg);
            taken |= TAKES_DEPTH;
            break;
        case 'a':
            if (parse_alpha(optarg, &o) < 0)
                return bad_value("alpha", optarg);
            taken |= TAKES_ALPHA;
            break;
        case 'k':
            if (parse_range(optarg, UINT32_MAX, &o.inner) < 0)
                return bad_value("inner", optarg);
            taken |= TAKES_INNER;
            break;
        case 'K':
        case 'G':
        case 'B':
        case 'S':
        case 'R':
            if (parse_launch(c, optarg, &o) != EXIT_OK)
                return EXIT_USAGE;
            taken |= TAKES_LAUNCH;
            break;
        case 'h':
            o.wants_help = true;
            break;
        case 'V':
            print_and_exit("vgpu (vgpu-mediator) " VGPU_MEDIATOR_VERSION "\n");
        default:
            fputs("Try 'vgpu --help' for more information.\n", stderr);
            return EXIT_USAGE;
        }

    *ret = o;
    *ret_taken = taken;
    return EXIT_OK;
}

__attribute__((format(printf, 1, 2))) static int bad_usage(const char *format, ...)
{
    va_list args;

    fputs("vgpu: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    fputs("Try 'vgpu --help' for more information.\n", stderr);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    const struct command *command;
    unsigned int taken;
    options o;
    int r;

    r = parse_options(argc, argv, &o, &taken);
    if (r != EXIT_OK)
        return r;

    argv += optind;
    argc -= optind;
    command = argc > 0 ? find_command(argv[0]) : NULL;
    if (o.wants_help)
        print_and_exit(command && command->help ? command->help : help);
    if (argc == 0)
        return bad_usage("missing command");
    if (!command)
        return bad_usage("unknown command '%s'", argv[0]);
    if (taken & ~command->takes)
        return bad_usage("an option that was given is not for '%s'", command->name);
    if (argc - 1 < (command->operands == MANY ? 1 : command->operands))
        return bad_usage("missing operand for '%s'", command->name);
    if (argc - 1 > command->operands)
        return bad_usage("extra operand '%s'", argv[1 + command->operands]);

    return command->run(&o, argv + 1);
}
