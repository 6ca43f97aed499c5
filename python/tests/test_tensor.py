"""Tensors: made of numbers, shared with other libraries, refused where they cannot be."""
import array
import gc
import unittest

import versor
from versor import Tensor

try:
    import numpy
except ImportError:
    numpy = None
try:
    import torch
except ImportError:
    torch = None


class Numbers(unittest.TestCase):
    def test_lists(self):
        t = Tensor([[1.5, 2], [3, 4]])
        self.assertEqual((t.shape, t.dtype, t.device, t.size, len(t)), ((2, 2), "f32", "cpu", 4, 2))
        self.assertEqual(t.tolist(), [[1.5, 2], [3, 4]])
        self.assertEqual(Tensor([1, 2]).dtype, "i32")
        self.assertEqual(Tensor([1, 2], dtype="u8").dtype, "u8")
        self.assertEqual(Tensor([0.1], dtype="bf16").tolist(), [0.10009765625])
        self.assertEqual(Tensor(3).shape, ())
        self.assertEqual(Tensor([2**24 + 1], dtype="i32").item(), 2**24 + 1)
        self.assertEqual(Tensor([]).shape, (0,))

    def test_buffers(self):
        self.assertEqual(Tensor(bytes([1, 2])).dtype, "u8")
        self.assertEqual(Tensor(array.array("d", [0.5])).tolist(), [0.5])
        self.assertEqual(Tensor(array.array("q", [-7])).tolist(), [-7])
        grid = memoryview(bytes(range(6))).cast("B", (2, 3))
        self.assertEqual(Tensor(grid).tolist(), [[0, 1, 2], [3, 4, 5]])

    def test_parts_share_the_memory(self):
        t = Tensor([[1.0, 2], [3, 4], [5, 6]])
        self.assertEqual(t[-1].tolist(), [5, 6])
        self.assertEqual(t[1:].tolist(), [[3, 4], [5, 6]])
        self.assertEqual([row.tolist() for row in t], [[1, 2], [3, 4], [5, 6]])
        self.assertEqual(t.reshape([2, 3])[1].tolist(), [4, 5, 6])

    def test_wrong_calls(self):
        for wrong in (
            lambda: Tensor([[1], [2, 3]]),
            lambda: Tensor([1, [2]]),
            lambda: Tensor([[1], 2]),
            lambda: Tensor([2**31]),
            lambda: Tensor([1], dtype="f64"),
            lambda: Tensor([1], device="tpu"),
            lambda: Tensor([[[[[1]]]]]),
            lambda: Tensor([1, 2]).item(),
            lambda: Tensor([1, 2]).reshape([3]),
            lambda: Tensor([1, 2, 3])[::2],
            lambda: Tensor(array.array("q", [2**40])),
            lambda: versor.from_dlpack([1]),
            lambda: versor.from_dlpack(Tensor([1]).__dlpack__()),
        ):
            with self.assertRaises(versor.Error) as raised:
                wrong()
            self.assertNotIn("\n", str(raised.exception))
        with self.assertRaises(IndexError):
            Tensor([1])[1]
        with self.assertRaises((TypeError, RuntimeError)):
            Tensor("text")


class Capsules(unittest.TestCase):
    """The rules of the protocol, with tensors on both sides."""

    def test_both_forms(self):
        t = Tensor([1.0, 2])
        self.assertIn('"dltensor"', repr(t.__dlpack__()))
        self.assertIn('"dltensor_versioned"', repr(t.__dlpack__(max_version=(1, 0))))
        self.assertIn('"dltensor"', repr(t.__dlpack__(max_version=(0, 8))))
        self.assertEqual(t.__dlpack_device__(), (1, 0))

    def test_consumed_once(self):
        class Once:
            def __init__(self, capsule):
                self.capsule = capsule

            def __dlpack__(self, **_):
                return self.capsule

        for version in (None, (1, 0)):
            once = Once(Tensor([1.0, 2]).__dlpack__(max_version=version))
            shared = versor.from_dlpack(once)
            self.assertIn("used_dltensor", repr(once.capsule))
            with self.assertRaises(ValueError):
                versor.from_dlpack(once)
            del once
            self.assertEqual(shared.tolist(), [1, 2])

    def test_producers_from_before_version_1(self):
        class Old:
            def __dlpack__(self, stream=None):
                return Tensor([[7]]).__dlpack__()

        self.assertEqual(versor.from_dlpack(Old()).tolist(), [[7]])

    def test_on_cuda_the_producer_gets_a_stream(self):
        asked = []

        class OnCuda:
            def __dlpack_device__(self):
                return (2, 0)

            def __dlpack__(self, **arguments):
                asked.append(arguments.get("stream"))
                return Tensor([7]).__dlpack__()

        self.assertEqual(versor.from_dlpack(OnCuda()).tolist(), [7])
        self.assertEqual(asked, [1])

    def test_shares_and_copies(self):
        t = Tensor([1, 2])
        shared, copy = versor.from_dlpack(t), t.clone()
        versor.from_dlpack(t)
        self.assertEqual(shared.__array_interface__["data"], t.__array_interface__["data"])
        self.assertNotEqual(copy.__array_interface__["data"], t.__array_interface__["data"])
        del t
        gc.collect()
        self.assertEqual(shared.tolist(), [1, 2])


@unittest.skipUnless(numpy, "there is no NumPy")
class Numpy(unittest.TestCase):
    def test_no_copy_in_either_direction(self):
        a = numpy.arange(6, dtype="float32").reshape(2, 3)
        t = versor.from_dlpack(a)
        b = numpy.from_dlpack(t)
        c = t.numpy()
        a[1, 2] = 9
        self.assertEqual((t.tolist()[1][2], b[1, 2], c[1, 2]), (9, 9, 9))
        c[0, 0] = -1
        self.assertEqual(a[0, 0], -1)

    def test_types(self):
        for dtype, name in (("float32", "f32"), ("int32", "i32"), ("uint8", "u8")):
            t = versor.from_dlpack(numpy.ones((2, 2), dtype))
            self.assertEqual(t.dtype, name)
            self.assertEqual(t.numpy().dtype, dtype)
        self.assertEqual(Tensor(numpy.ones(2)).dtype, "f32")
        self.assertEqual(Tensor(numpy.arange(2)).dtype, "i32")

    def test_the_array_lives_as_long_as_the_tensor(self):
        freed = []

        class Noisy(numpy.ndarray):
            def __del__(self):
                freed.append(1)

        a = numpy.ones(4, "float32").view(Noisy)
        t = versor.from_dlpack(a)
        part = t[1:]
        del a, t
        gc.collect()
        self.assertEqual((freed, part.tolist()), ([], [1, 1, 1]))
        del part
        gc.collect()
        self.assertEqual(freed, [1])

    def test_the_tensor_lives_as_long_as_the_array(self):
        for share in (numpy.from_dlpack, numpy.asarray):
            a = share(Tensor([1.0] * 1000))
            others = [Tensor([2.0] * 1000) for _ in range(10)]
            self.assertTrue((a == 1).all())
            del others

    def test_what_cannot_be_shared(self):
        a = numpy.ones((4, 4), "float32")
        for wrong in (a[:, ::2], a.T[:2], a.astype("float64"), numpy.ones((1,) * 5, "float32")):
            with self.assertRaises(versor.Error):
                versor.from_dlpack(wrong)
        self.assertEqual(Tensor(a.T[:2]).shape, (2, 4))
        with self.assertRaises(versor.Error):
            Tensor([1.0], dtype="bf16").numpy()
        a.flags.writeable = False
        with self.assertRaises((versor.Error, BufferError)):
            versor.from_dlpack(a)

    def test_empty(self):
        self.assertEqual(versor.from_dlpack(numpy.ones((0, 3), "float32")).shape, (0, 3))
        self.assertEqual(numpy.from_dlpack(versor.zeros([0, 3])).shape, (0, 3))


@unittest.skipUnless(torch, "there is no PyTorch")
class Torch(unittest.TestCase):
    def test_no_copy_in_either_direction(self):
        for dtype in (torch.float32, torch.bfloat16, torch.int32, torch.uint8):
            a = torch.arange(6, dtype=dtype).reshape(2, 3)
            t = versor.from_dlpack(a)
            b = torch.from_dlpack(t)
            self.assertEqual((b.dtype, b.data_ptr()), (dtype, a.data_ptr()))
            del a, t
            gc.collect()
            self.assertEqual(b.tolist(), [[0, 1, 2], [3, 4, 5]])

    def test_a_gradient_agrees(self):
        x = torch.randn(5, 3)
        w = torch.randn(4, 3, requires_grad=True)
        torch.nn.functional.linear(x, w).tanh().square().mean().backward()
        v = versor.Variable(versor.from_dlpack(w.detach()), requires_grad=True)
        y = versor.linear(versor.Variable(versor.from_dlpack(x)), v)
        versor.mean(versor.square(versor.tanh(y))).backward()
        self.assertLess((torch.from_dlpack(v.grad) - w.grad).abs().max(), 1e-6)


if __name__ == "__main__":
    unittest.main()
