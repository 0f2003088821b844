/* An ONNX Runtime that loads and says which it is, and breaks at work. What it does not spoil is done by the REAL one.
 * SLOTS is the number of functions in the table that callers get; FIRST to LAST are those that are spoiled.
 * With -DEND the process ends there, as in a crash. Without REAL it is a library that is no runtime at all. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef REAL
typedef struct {
  const void *const *(*get)(uint32_t version);
  const char *(*name)(void);
} Base;

static void *(*make_status)(int, const char *);

static void *broken(void) {
#ifdef END
  abort();
#endif
  return make_status(1, "this runtime is broken on purpose");
}

static const void *const *get(uint32_t version);
static const char *name(void) { return "1.99.0"; }
static const Base base = {get, name};

static const void *const *get(uint32_t version) {
  static const void *table[SLOTS];
  void *library = dlopen(REAL, RTLD_NOW | RTLD_LOCAL);
  const Base *(*real)(void) = library ? (const Base *(*)(void))dlsym(library, "OrtGetApiBase") : NULL;
  const void *const *functions = real ? real()->get(version) : NULL;
  if (!functions) return NULL;
  memcpy(table, functions, sizeof table);
  make_status = (void *(*)(int, const char *))table[0];
  for (int slot = FIRST; slot <= LAST; slot++) table[slot] = (const void *)broken;
  return table;
}

const Base *OrtGetApiBase(void) { return &base; }
#else
int nothing(void) { return (int)strlen(getenv("HOME") ? getenv("HOME") : ""); }
#endif
