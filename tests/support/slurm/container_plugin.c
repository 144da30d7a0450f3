/* Stands in for Pyxis in tests of a real Slurm cluster: a SPANK plugin that takes the same options of srun, records
 * them, and runs the command on the host, with the "image" as a folder of programs that comes first in PATH.
 *
 * plugstack.conf: required container_plugin.so programs=FOLDER record=FILE
 * An image that begins with a slash is a folder of its own; one with "denied" in its name cannot be fetched. */
#include <slurm/spank.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

SPANK_PLUGIN(container_plugin, 1)

enum { OPTION_COUNT = 12, VALUE_SIZE = 4096 };

static const struct {
  const char *name;
  int has_arg;
} OPTIONS[OPTION_COUNT] = {
    {"container-image", 1},           {"container-mounts", 1},   {"container-workdir", 1},
    {"container-name", 1},            {"container-env", 1},      {"container-writable", 0},
    {"container-readonly", 0},        {"container-mount-home", 0}, {"no-container-mount-home", 0},
    {"container-remap-root", 0},      {"container-entrypoint", 0}, {"no-container-entrypoint", 0},
};

static char values[OPTION_COUNT][VALUE_SIZE];

static int on_option(int index, const char *argument, int remote) {
  (void)remote;
  snprintf(values[index], VALUE_SIZE, "%s", argument != NULL && OPTIONS[index].has_arg ? argument : "yes");
  return 0;
}

static const char *argument_named(const char *name, int count, char **arguments) {
  const size_t size = strlen(name);
  for (int i = 0; i < count; ++i) {
    if (strncmp(arguments[i], name, size) == 0 && arguments[i][size] == '=') return arguments[i] + size + 1;
  }
  return NULL;
}

int slurm_spank_init(spank_t spank, int count, char **arguments) {
  (void)count;
  (void)arguments;
  if (spank_context() != S_CTX_LOCAL && spank_context() != S_CTX_REMOTE && spank_context() != S_CTX_ALLOCATOR) {
    return 0;
  }
  for (int i = 0; i < OPTION_COUNT; ++i) {
    struct spank_option option = {.name = (char *)OPTIONS[i].name,
                                  .arginfo = OPTIONS[i].has_arg ? "VALUE" : NULL,
                                  .usage = "[test] taken, and recorded",
                                  .has_arg = OPTIONS[i].has_arg,
                                  .val = i,
                                  .cb = on_option};
    const int error = spank_option_register(spank, &option);
    if (error != ESPANK_SUCCESS) return error;
  }
  return 0;
}

/* In Pyxis' words. */
static int refuse(const char *first, const char *second) {
  slurm_error("pyxis: child 1 failed with error code: 1");
  slurm_error("pyxis: %s", first);
  slurm_error("pyxis: printing enroot log file:");
  slurm_error("pyxis:     [ERROR] %s", second);
  return -1;
}

static int check_mounts(const char *mounts) {
  char text[VALUE_SIZE], *rest = text, *mount;
  snprintf(text, sizeof text, "%s", mounts);
  while ((mount = strsep(&rest, ",")) != NULL && *mount != '\0') {
    mount[strcspn(mount, ":")] = '\0';
    if (access(mount, F_OK) == 0) continue;
    slurm_error("pyxis: --container-mounts: source path does not exist: %s", mount);
    return -1;
  }
  return 0;
}

int slurm_spank_task_init(spank_t spank, int count, char **arguments) {
  const char *const image = values[0];
  if (!spank_remote(spank) || *image == '\0') return 0;
  const char *const file = argument_named("record", count, arguments);
  FILE *const record = file == NULL ? NULL : fopen(file, "a");
  if (record != NULL) {
    for (int i = 0; i < OPTION_COUNT; ++i) {
      if (*values[i] != '\0') fprintf(record, "%s=%s ", OPTIONS[i].name, values[i]);
    }
    fputc('\n', record);
    fclose(record);
  }
  if (strstr(image, "denied") != NULL) {
    return refuse("failed to import docker image",
                  "URL https://authn.nvidia.com/token returned error code: 401 Unauthorized");
  }
  if (check_mounts(values[1]) != 0) return -1;
  const char *programs = argument_named("programs", count, arguments);
  if (*image == '/') {
    if (access(image, F_OK) != 0) {
      return refuse("failed to create container filesystem for image", "No such file or directory");
    }
    programs = image;
  }
  char path[2 * VALUE_SIZE + 2], old[VALUE_SIZE] = "";
  if (spank_getenv(spank, "PATH", old, sizeof old) != ESPANK_SUCCESS) old[0] = '\0';
  snprintf(path, sizeof path, "%s:%s", programs, *old != '\0' ? old : "/usr/bin:/bin");
  return spank_setenv(spank, "PATH", path, 1) == ESPANK_SUCCESS ? 0 : -1;
}
