// What the addon calls and older boards have under other names: stat before glibc 2.33, and one function of libstdc++ 11.
#include <stdlib.h>

#if defined(__x86_64__)
#define STAT_VERSION 1
#elif defined(__aarch64__)
#define STAT_VERSION 0
#else
#define STAT_VERSION 3
#endif

struct stat64;
int __fxstat64(int version, int file, struct stat64 *out);
int __lxstat64(int version, const char *path, struct stat64 *out);
int __xstat64(int version, const char *path, struct stat64 *out);

int fstat64(int file, struct stat64 *out) { return __fxstat64(STAT_VERSION, file, out); }
int lstat64(const char *path, struct stat64 *out) { return __lxstat64(STAT_VERSION, path, out); }
int stat64(const char *path, struct stat64 *out) { return __xstat64(STAT_VERSION, path, out); }

/* std::__throw_bad_array_new_length(): the addon is compiled without exceptions. */
void _ZSt28__throw_bad_array_new_lengthv(void) { abort(); }
