// Stands in for OpenMP's header where the fuzzer's programs are built: they have one thread and
// need no OpenMP library.
#pragma once

inline int omp_get_max_threads() {
  return 1;
}
inline int omp_get_thread_num() {
  return 0;
}
inline void omp_set_num_threads(int) {}
