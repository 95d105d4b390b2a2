/* libnvidia-ml.so.1 for tests: answers as the file named by $NVML_ANSWERS says, which is read anew at each call.

   Each line of that file is "KEY VALUE". Codes are NVML's own, besides HANG and CRASH.
     count N                   how many GPUs there are
     CALL CODE                 what a call answers that concerns no GPU: init, count_call, driver_version
     I.CALL CODE               what a call on GPU I answers; "I.all CODE" stands for all but the handle
     I.name TEXT  I.uuid TEXT  I.minor N  I.total_mib N  I.used_mib N  I.reserved_mib N  I.pid N  I.mode N
   Calls on a GPU: handle, get_uuid, get_name, get_minor, memory, memory_v2, compute, graphics, compute_mode, mig, ecc. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS = 0, NOT_SUPPORTED = 3, INSUFFICIENT_SIZE = 7, HANG = -1, CRASH = -2 };

typedef struct { unsigned long long total, free, used; } memory;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } memory_v2;
typedef struct { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; } process;

static const char *said(const char *key)
{
    static char line[512];
    const char *path = getenv("NVML_ANSWERS");
    FILE *file = path ? fopen(path, "r") : NULL;
    size_t length = strlen(key);
    if (file == NULL)
        return NULL;
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = 0;
        if (strncmp(line, key, length) == 0 && line[length] == ' ') {
            fclose(file);
            return line + length + 1;
        }
    }
    fclose(file);
    return NULL;
}

static const char *said_of(void *gpu, const char *what)
{
    char key[64];
    snprintf(key, sizeof key, "%d.%s", (int)(long)gpu - 1, what);
    return said(key);
}

static long number(const char *text, long otherwise) { return text ? atol(text) : otherwise; }

static int answer(long code)
{
    if (code == HANG)
        for (;;)
            pause();
    if (code == CRASH)
        _exit(139);
    return (int)code;
}

static int answer_of(void *gpu, const char *call, long otherwise)
{
    return answer(number(said_of(gpu, call), number(said_of(gpu, "all"), otherwise)));
}

static void write_text(char *out, unsigned size, void *gpu, const char *what, const char *otherwise)
{
    const char *text = said_of(gpu, what);
    snprintf(out, size, "%s", text ? text : otherwise);
}

int nvmlInitWithFlags(unsigned flags) { (void)flags; return answer(number(said("init"), SUCCESS)); }

int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

int nvmlShutdown(void) { return SUCCESS; }

const char *nvmlErrorString(int code) { (void)code; return "an error of the stub"; }

int nvmlSystemGetDriverVersion(char *out, unsigned size)
{
    snprintf(out, size, "550.54.14");
    return answer(number(said("driver_version"), SUCCESS));
}

int nvmlDeviceGetCount_v2(unsigned *count)
{
    *count = (unsigned)number(said("count"), 4);
    return answer(number(said("count_call"), SUCCESS));
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **gpu)
{
    *gpu = (void *)(long)(index + 1);
    return answer(number(said_of(*gpu, "handle"), SUCCESS));
}

int nvmlDeviceGetUUID(void *gpu, char *out, unsigned size)
{
    char own[64];
    snprintf(own, sizeof own, "GPU-%08ld", (long)gpu - 1);
    write_text(out, size, gpu, "uuid", own);
    return answer_of(gpu, "get_uuid", SUCCESS);
}

int nvmlDeviceGetName(void *gpu, char *out, unsigned size)
{
    write_text(out, size, gpu, "name", "NVIDIA GeForce RTX 3090");
    return answer_of(gpu, "get_name", SUCCESS);
}

int nvmlDeviceGetMinorNumber(void *gpu, unsigned *minor)
{
    *minor = (unsigned)number(said_of(gpu, "minor"), (long)gpu - 1);
    return answer_of(gpu, "get_minor", SUCCESS);
}

static unsigned long long mib(void *gpu, const char *what, long otherwise)
{
    return (unsigned long long)number(said_of(gpu, what), otherwise) << 20;
}

int nvmlDeviceGetMemoryInfo(void *gpu, memory *out)
{
    out->total = mib(gpu, "total_mib", 24576);
    out->used = mib(gpu, "used_mib", 0) + mib(gpu, "reserved_mib", 600);
    out->free = out->total - out->used;
    return answer_of(gpu, "memory", SUCCESS);
}

int nvmlDeviceGetMemoryInfo_v2(void *gpu, memory_v2 *out)
{
    out->total = mib(gpu, "total_mib", 24576);
    out->used = mib(gpu, "used_mib", 0);
    out->reserved = mib(gpu, "reserved_mib", 600);
    out->free = out->total - out->used - out->reserved;
    return answer_of(gpu, "memory_v2", SUCCESS);
}

static int processes(void *gpu, const char *call, const char *which, unsigned *count, process *out)
{
    long pid = number(said_of(gpu, which), 0);
    int code = answer_of(gpu, call, SUCCESS);
    if (code != SUCCESS || pid == 0) {
        *count = 0;
        return code;
    }
    if (out == NULL || *count < 1) {
        *count = 1;
        return INSUFFICIENT_SIZE;
    }
    *count = 1;
    memset(out, 0, sizeof *out);
    out->pid = (unsigned)pid;
    return SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v3(void *gpu, unsigned *count, process *out)
{
    return processes(gpu, "compute", "pid", count, out);
}

int nvmlDeviceGetGraphicsRunningProcesses_v3(void *gpu, unsigned *count, process *out)
{
    return processes(gpu, "graphics", "graphics_pid", count, out);
}

int nvmlDeviceGetComputeMode(void *gpu, int *mode)
{
    *mode = (int)number(said_of(gpu, "mode"), 0);
    return answer_of(gpu, "compute_mode", SUCCESS);
}

int nvmlDeviceGetMigMode(void *gpu, unsigned *current, unsigned *pending)
{
    *current = *pending = (unsigned)number(said_of(gpu, "mig_mode"), 0);
    return answer_of(gpu, "mig", NOT_SUPPORTED);
}

int nvmlDeviceGetEccMode(void *gpu, int *current, int *pending)
{
    *current = *pending = (int)number(said_of(gpu, "ecc_mode"), 0);
    return answer_of(gpu, "ecc", NOT_SUPPORTED);
}
