// Linked into the SQLite addon of a packaged executable and run when it is loaded: what MALLOC_ARENA_MAX and MALLOC_TRIM_THRESHOLD_ say in
// the first line of dist/helio. glibc keeps what Node frees after start-up unless told to give it back.
#include <malloc.h>

__attribute__((constructor)) static void helio_memory(void) {
  mallopt(M_ARENA_MAX, 1);
  mallopt(M_TRIM_THRESHOLD, 131072);
  malloc_trim(0);
}
