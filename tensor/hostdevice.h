// VERSOR_HD marks a function that both the CPU loops and the CUDA kernels call, so that the
// arithmetic of an operation is written once.
#pragma once

#ifdef __CUDACC__
#define VERSOR_HD __host__ __device__
#else
#define VERSOR_HD
#endif
