"""Variables, modules and optimisers."""
import os
import runpy
import tempfile
import unittest
from array import array
from math import exp, log

import versor
from versor import Tensor, Variable, nn


def close(a, b, within=1e-5):
    return abs(a - b) <= within


class Gradients(unittest.TestCase):
    def test_operators(self):
        x = Variable(Tensor([2.0]), requires_grad=True)
        y = (3 * x - 1) * x / 2 + (1 - x) + x / Variable(Tensor([4.0])) - x * 0.5 + (-x)
        self.assertTrue(close(y.item(), 5 - 1 + 0.5 - 1 - 2))
        versor.sum(y).backward()
        self.assertTrue(close(x.grad.item(), (6 * 2 - 1) / 2 - 1 + 0.25 - 0.5 - 1))
        self.assertEqual((Variable([[1.0, 2]]) @ Variable([[3.0], [4]])).item(), 11)

    def test_operators_with_arrays(self):
        x, a = Variable([2.0, 4.0], requires_grad=True), array("f", [1.0, 2.0])
        for left, right in ((a, x), (x, a), (x, Tensor([1.0, 2.0])), (Tensor([1.0, 2.0]), x)):
            self.assertEqual((left * right).tolist(), [2, 8])
            self.assertEqual((left + right).tolist(), [3, 6])
        self.assertEqual([(a - x).tolist(), (x - a).tolist()], [[-1, -2], [1, 2]])
        self.assertEqual([(a / x).tolist(), (x / a).tolist()], [[0.5, 0.5], [2, 2]])
        self.assertEqual((2 / (-x)).tolist(), [-1, -0.5])
        try:
            import numpy
        except ImportError:
            return
        y = numpy.float32([1, 2]) * x
        self.assertIsInstance(y, Variable)
        versor.sum(y).backward()
        self.assertEqual(x.grad.tolist(), [1, 2])

    def test_differences(self):
        functions = [versor.relu, versor.tanh, versor.exp, versor.log, versor.sqrt, versor.square,
                     versor.silu, versor.gelu, versor.sigmoid, versor.softmax, versor.log_softmax, versor.normalize_rows]
        for f in functions:
            at = [[0.8, 1.7]]

            def value(a, b):
                return versor.sum(versor.square(f(Variable([[a, b]])))).item()

            x = Variable(at, requires_grad=True)
            versor.sum(versor.square(f(x))).backward()
            h = 1e-2
            numeric = (value(0.8 + h, 1.7) - value(0.8 - h, 1.7)) / (2 * h)
            self.assertTrue(close(x.grad.tolist()[0][0], numeric, 5e-3), f)

    def test_reductions_and_broadcasting(self):
        x = Variable([[1.0, 2], [3, 4]], requires_grad=True)
        self.assertEqual(versor.sum(x, axes=[0]).tolist(), [4, 6])
        self.assertEqual(versor.mean(x, axes=[1], keep=True).tolist(), [[1.5], [3.5]])
        versor.sum(x * Variable([10.0, 20])).backward()
        self.assertEqual(x.grad.tolist(), [[10, 20], [10, 20]])
        self.assertEqual((x**2.0).tolist(), [[1, 4], [9, 16]])

    def test_classes(self):
        logits, labels = Variable([[2.0, 0], [0, 3]], requires_grad=True), Tensor([0, 0])
        loss = versor.cross_entropy(logits, labels)
        loss.backward()
        self.assertTrue(close(loss.item(), (log(1 + exp(-2)) + 3 + log(1 + exp(-3))) / 2))
        self.assertTrue(close(logits.grad[1][0].item(), (1 / (1 + exp(3)) - 1) / 2))
        self.assertEqual(versor.accuracy(logits.value, labels).item(), 0.5)
        with self.assertRaises(versor.Error):
            versor.cross_entropy(logits, Tensor([0, 2]))

    def test_no_grad(self):
        x = Variable([1.0], requires_grad=True)
        with versor.no_grad():
            y = x * x
        self.assertFalse(y.requires_grad)
        self.assertTrue((x * x).requires_grad)
        self.assertIsNone(x.grad)
        self.assertFalse(x.detach().requires_grad)

    def test_no_grad_entered_again(self):
        x, again = Variable([1.0], requires_grad=True), versor.no_grad()
        with again:
            with again:
                self.assertFalse((x * x).requires_grad)
            self.assertFalse((x * x).requires_grad)
        self.assertTrue((x * x).requires_grad)
        again.__enter__()
        again.__enter__()
        del again
        self.assertTrue((x * x).requires_grad)
        with self.assertRaises(versor.Error):
            versor.no_grad().__exit__(None, None, None)

    def test_errors(self):
        x = Variable([1.0, 2.0], requires_grad=True)
        y = versor.sum(x * x)
        y.backward()
        for wrong in (y.backward, (x * x).backward, lambda: x + Variable([[1.0, 2, 3]]),
                      lambda: versor.matmul(x, x)):
            with self.assertRaises(versor.Error):
                wrong()
        with self.assertRaises(TypeError):
            versor.relu("text")


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(2, 8)
        self.output = nn.Linear(8, 1)
        self.scale = self.parameter("scale", Tensor([1.0]))
        self.note = "not a module"

    def __call__(self, x):
        return versor.scale_columns(self.output(versor.relu(self.hidden(x))), self.scale)


class Modules(unittest.TestCase):
    def test_forgotten_super(self):
        class Forgetful(nn.Module):
            def __init__(self):
                self.line = nn.Linear(2, 3)

        with self.assertRaises(versor.Error) as raised:
            Forgetful()
        self.assertIn("super().__init__()", str(raised.exception))

    def test_own_module(self):
        m = Mlp()
        self.assertEqual(list(m.named_parameters()),
                         ["scale", "hidden.weight", "hidden.bias", "output.weight", "output.bias"])
        self.assertEqual(m.parameter_count, 16 + 8 + 8 + 1 + 1)
        with self.assertRaises(versor.Error):
            m.hidden = nn.Linear(2, 8)

    def test_a_module_is_no_part_of_itself(self):
        parent, child, sequence = nn.Module(), nn.Module(), nn.Sequential(nn.Linear(2, 3))
        parent.child = child
        child.sequence = sequence
        for part, whole in ((parent, parent), (child, parent), (sequence, parent),
                            (sequence, nn.Sequential(parent))):
            with self.assertRaises(versor.Error) as raised:
                part.back = whole
            self.assertIn("back", str(raised.exception))
            self.assertFalse(hasattr(part, "back"))
        self.assertEqual(list(parent.named_parameters()),
                         ["child.sequence.0.weight", "child.sequence.0.bias"])
        parent.training = False

    def test_parts_outlive_their_names(self):
        m = nn.Sequential(nn.Linear(2, 8), versor.relu, nn.Sequential(nn.Linear(8, 1)))
        self.assertEqual(list(m.named_parameters()), ["0.weight", "0.bias", "2.0.weight", "2.0.bias"])
        parameters = m.parameters()
        del m
        self.assertEqual(parameters[0].shape, (8, 2))

    def test_layers(self):
        x = versor.normal([2, 8, 8, 3])
        for layer, shape in (
            (nn.Conv2d(3, 5, kernel=4, stride=2, padding=1, activation="relu"), (2, 4, 4, 5)),
            (nn.ConvTranspose2d(3, 5, kernel=4, stride=2, padding=1), (2, 16, 16, 5)),
            (nn.ResidualBlock(3, 5), (2, 8, 8, 5)),
            (nn.BatchNorm2d(3), (2, 8, 8, 3)),
            (nn.GroupNorm(1, 3), (2, 8, 8, 3)),
            (nn.LayerNorm(3), (2, 8, 8, 3)),
            (nn.MaxPool2d(2), (2, 4, 4, 3)),
        ):
            self.assertEqual(layer(x).shape, shape)
        with self.assertRaises(versor.Error):
            nn.Conv2d(3, 5, kernel=4, activation="swish")
        with self.assertRaises(versor.Error):
            versor.conv2d(x, versor.normal([5, 4, 4, 3]), activation="swish")

    def test_training_and_use(self):
        m = nn.Sequential(nn.Dropout(0.5), nn.Sequential(nn.Dropout(0.5)))
        x = Variable([[1.0] * 64])
        self.assertIn(0.0, m(x).tolist()[0])
        m.training = False
        self.assertEqual(m(x).tolist(), x.tolist())
        self.assertEqual(nn.Embedding(5, 3)(Tensor([[0, 4]])).shape, (1, 2, 3))

    def test_files(self):
        a, b = Mlp(), Mlp()
        x = versor.normal([4, 2])
        self.assertNotEqual(a(x).tolist(), b(x).tolist())
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "mlp.safetensors")
            a.save(path)
            b.load(path)
            self.assertEqual(nn.load(path)["hidden.weight"].shape, (8, 2))
            with self.assertRaises(versor.Error) as raised:
                nn.Linear(2, 8).load(path)
            self.assertIn(path, str(raised.exception))
            with self.assertRaises(versor.Error):
                b.load(path + ".missing")
        self.assertEqual(a(x).tolist(), b(x).tolist())
        b.load_state_dict(a.state_dict())

    def test_seed(self):
        versor.manual_seed(3)
        a, b = nn.Linear(2, 2), nn.Linear(2, 2)
        versor.manual_seed(3)
        c = nn.Linear(2, 2)
        weights = [m.state_dict()["weight"].tolist() for m in (a, b, c)]
        self.assertEqual(weights[0], weights[2])
        self.assertNotEqual(weights[0], weights[1])

    def test_optimisers(self):
        for make in (lambda p: nn.Adam(p, lr=0.1), lambda p: nn.Sgd(p, lr=0.1, momentum=0.5)):
            x = Variable([3.0, -2.0], requires_grad=True)
            optimiser = make([x])
            for _ in range(200):
                optimiser.zero_grad()
                versor.sum(versor.square(x)).backward()
                self.assertLess(nn.clip_gradient_norm([x], 10.0).item(), 10)
                optimiser.step()
            self.assertLess(max(map(abs, x.tolist())), 1e-2)
        with self.assertRaises(versor.Error):
            nn.Adam([], lr=0.1)

    def test_example(self):
        here = os.path.dirname(__file__)
        names = runpy.run_path(os.path.join(here, "..", "examples", "mlp.py"))
        self.assertLess(names["loss"].item(), 0.05)


if __name__ == "__main__":
    unittest.main()
