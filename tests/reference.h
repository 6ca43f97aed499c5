// The naive double-precision reference of every operation: forward and gradient, plain loops, no
// part of the library. What the fast code must agree with, and where to read what it computes.
// Its own gradients are checked against finite differences in test_reference.cpp and
// test_reference_vq.cpp. Reading order: array, conv, linear, elementwise, softmax, layout, vq,
// codebook.
#pragma once

#include "tests/reference_array.h"
#include "tests/reference_codebook.h"
#include "tests/reference_conv.h"
#include "tests/reference_elementwise.h"
#include "tests/reference_group_norm.h"
#include "tests/reference_layout.h"
#include "tests/reference_linear.h"
#include "tests/reference_softmax.h"
#include "tests/reference_vq.h"
