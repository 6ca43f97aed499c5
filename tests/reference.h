// The naive double-precision reference of every operation, forward and gradient, as plain loops
// that use no part of the library. It defines what the fast code must compute, and is the place to
// look it up. Its gradients are checked against finite differences in test_reference.cpp and
// test_reference_vq.cpp. Reading order: array, conv, linear, elementwise, softmax, layout, vq,
// codebook.
#pragma once

#include "tests/reference_array.h"
#include "tests/reference_attention.h"
#include "tests/reference_broadcast.h"
#include "tests/reference_codebook.h"
#include "tests/reference_conv.h"
#include "tests/reference_elementwise.h"
#include "tests/reference_group_norm.h"
#include "tests/reference_layout.h"
#include "tests/reference_linear.h"
#include "tests/reference_pool.h"
#include "tests/reference_softmax.h"
#include "tests/reference_vq.h"
