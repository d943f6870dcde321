// Linked into the SQLite addon of a packaged executable and run when it is loaded: what the MALLOC_ words say in
// the first line of dist/helio (glibc keeps what Node frees after start-up unless told to give it back); and once, when the start is over,
// it lets go of the executable's own pages. Two thirds of a role's resident memory are pages of Node that only the start touched; they
// belong to the file, so what is needed again is mapped again, and the kernel may give the rest to the pods.
#define _GNU_SOURCE
#include <link.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#define START_SECONDS 20
#define STACK_BYTES 65536

/* The executable is the first object of the list. Segments that can be written hold relocated data, which the file does not have. */
static int let_go(struct dl_phdr_info *object, size_t size, void *context) {
  (void)size;
  (void)context;
  const ElfW(Addr) page = (ElfW(Addr))sysconf(_SC_PAGESIZE);
  for (int i = 0; i < object->dlpi_phnum; i++) {
    const ElfW(Phdr) *part = &object->dlpi_phdr[i];
    if (part->p_type != PT_LOAD || (part->p_flags & PF_W) != 0) continue;
    const ElfW(Addr) start = (object->dlpi_addr + part->p_vaddr + page - 1) & ~(page - 1);
    const ElfW(Addr) end = (object->dlpi_addr + part->p_vaddr + part->p_filesz) & ~(page - 1);
    if (end > start) madvise((void *)start, end - start, MADV_DONTNEED);
  }
  return 1;
}

static void *after_start(void *context) {
  sleep(START_SECONDS);
  malloc_trim(0);
  dl_iterate_phdr(let_go, NULL);
  return context;
}

/* One thread that ends by itself; signals are none of its business. Where it cannot be made, the pages stay until the kernel wants them. */
__attribute__((constructor)) static void helio_memory(void) {
  mallopt(M_ARENA_MAX, 1);
  mallopt(M_TRIM_THRESHOLD, 131072);
  mallopt(M_MMAP_THRESHOLD, 65536);
  malloc_trim(0);
  pthread_attr_t small;
  pthread_t thread;
  sigset_t all, before;
  if (pthread_attr_init(&small) != 0) return;
  pthread_attr_setstacksize(&small, STACK_BYTES);
  pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_create(&thread, &small, after_start, NULL);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&small);
}
