// Included before every file of the addon: links against the oldest versions of what glibc 2.29 to 2.34 moved or renewed, so that the addon
// asks of a board what Node itself asks and no more: glibc 2.28.
#if defined(__x86_64__)
#define HELIO_OLDEST "GLIBC_2.2.5"
#elif defined(__aarch64__)
#define HELIO_OLDEST "GLIBC_2.17"
#else
#define HELIO_OLDEST "GLIBC_2.4"
#endif
#define HELIO_OLD(name) __asm__(".symver " #name "," #name "@" HELIO_OLDEST);

HELIO_OLD(__fxstat64)
HELIO_OLD(__lxstat64)
HELIO_OLD(__xstat64)
HELIO_OLD(dlclose)
HELIO_OLD(dlerror)
HELIO_OLD(dlopen)
HELIO_OLD(dlsym)
HELIO_OLD(exp)
HELIO_OLD(log)
HELIO_OLD(log2)
HELIO_OLD(pow)
HELIO_OLD(pthread_attr_setdetachstate)
HELIO_OLD(pthread_attr_setstacksize)
HELIO_OLD(pthread_create)
HELIO_OLD(pthread_join)
HELIO_OLD(pthread_mutex_trylock)
HELIO_OLD(pthread_mutexattr_destroy)
HELIO_OLD(pthread_mutexattr_init)
HELIO_OLD(pthread_mutexattr_settype)
HELIO_OLD(pthread_sigmask)
