"""Two spirals, told apart by two linear layers. PYTHONPATH=python python3 python/examples/mlp.py"""
from math import cos, sin

import versor
from versor import nn

points, sides = [], []
for i in range(200):
    side, t = (1 if i % 2 else -1), 0.5 + 3 * i / 200
    points.append([side * t * cos(2 * t), side * t * sin(2 * t)])
    sides.append([float(side)])
x, y = versor.Tensor(points), versor.Tensor(sides)

versor.manual_seed(1)
mlp = nn.Sequential(nn.Linear(2, 64), versor.relu, nn.Linear(64, 1), versor.tanh)
adam = nn.Adam(mlp.parameters(), lr=0.01)
for step in range(1000):
    adam.zero_grad()
    loss = versor.mse(mlp(x), y)
    loss.backward()
    adam.step()
print(f"mean squared error {loss.item():.4f}")
