// The engine of reverse-mode differentiation. The forward pass records nodes; backward runs them in
// descending order of their numbers, a valid order for the chain rule because a node is made after
// everything it depends on. No recursion anywhere. This file is the only place where gradients are
// accumulated; a function may ask for the last one separately, to add it in a pass of its own.
#include <algorithm>
#include <atomic>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "autograd/tape.h"
#include "autograd/variable.h"
#include "tensor/backend.h"
#include "tensor/branch.h"
#include "tensor/ops.h"

namespace versor {

// Where a gradient goes: to the node that made the input, or to the input itself if it is a leaf.
// Input values are not kept, only what a backward has captured.
struct Edge {
  std::shared_ptr<Node> producer;
  std::shared_ptr<Variable::State> leaf;
  std::optional<Shape> shape;  // of the input; nothing if it is undefined

  explicit Edge(const Variable& input) {
    if (input.defined()) shape = input.shape();
    if (!input.requires_grad()) return;
    if (input.state_->node) {
      producer = input.state_->node;
    } else {
      leaf = input.state_;
    }
  }
};

// One application of a differentiable function.
struct Node {
  uint64_t number;
  const char* name;
  Shape shape;  // of its value, and so of dy
  std::vector<Edge> inputs;
  Backward backward;                       // empty once it has run and freed what it saved
  std::weak_ptr<Variable::State> retains;  // its result, where retain_grad() asked for dy

  // Takes a long chain apart step by step; the default would recurse once per node.
  ~Node() {
    std::vector<Edge> open = std::move(inputs);
    while (!open.empty()) {
      const Edge edge = std::move(open.back());
      open.pop_back();
      if (!edge.producer || edge.producer.use_count() > 1) continue;
      for (Edge& input : edge.producer->inputs) open.push_back(std::move(input));
      edge.producer->inputs.clear();
    }
  }
};

namespace {

std::atomic<uint64_t> next_number{1};
thread_local bool grad_enabled = true;

// target += addend, into a new tensor if the target's memory is shared: the first gradient to
// arrive may also be another input's (the backward of a + b returns dy twice).
void accumulate(Tensor& target, const Tensor& addend) {
  if (!target.defined()) {
    target = addend;
  } else if (target.unshared()) {
    ops::add_to(target, addend);
  } else {
    target = ops::add(target, addend);
  }
}

}  // namespace

NoGradGuard::NoGradGuard() : before_(grad_enabled) {
  grad_enabled = false;
}
NoGradGuard::~NoGradGuard() {
  grad_enabled = before_;
}

Variable::Variable(Tensor value, bool requires_grad) : state_(std::make_shared<State>()) {
  check(value.defined(), "variable", "needs a defined tensor");
  state_->value = std::move(value);
  state_->requires_grad = requires_grad;
}

Tensor Variable::value_as(DType dtype) const {
  for (const Tensor& same : {state()->value, state()->copy})
    if (same.defined() && same.dtype() == dtype) return same;
  return ops::cast(value(), dtype);
}

void Variable::set_requires_grad(bool requires_grad) {
  check(!state()->node, "variable", "only a leaf can be frozen, or need a gradient");
  state_->requires_grad = requires_grad;
}

void Variable::retain_grad() {
  if (state()->node) state()->node->retains = state_;
}

Variable record(const char* name, Tensor value, const std::vector<Variable>& inputs,
                Backward backward) {
  bool needed = false;
  for (const Variable& input : inputs) needed |= input.requires_grad();
  Variable result(std::move(value), grad_enabled && needed);
  if (!result.requires_grad()) return result;
  auto node = std::make_shared<Node>(Node{next_number++, name, result.shape(), {}, {}, {}});
  for (const Variable& input : inputs) node->inputs.emplace_back(input);
  node->backward = std::move(backward);
  result.state()->node = std::move(node);
  return result;
}

// One run of backward().
class Engine {
 public:
  using LeafDone = std::function<void(const Variable& leaf)>;

  Engine(const Variable& loss, bool retain_graph, LeafDone leaf_done)
      : retain_graph_(retain_graph),
        leaf_done_(std::move(leaf_done)),
        branches_(loss.value().backend()) {
    check(loss.shape().numel() == 1, "backward", "needs a scalar, got ", loss.shape());
    check(loss.requires_grad(), "backward",
          "the loss does not depend on anything that requires a gradient");
    if (leaf_done_) count_uses(Edge(loss));
    arrive("backward", Edge(loss), ops::full(loss.shape(), 1.f, loss.value().device()));
  }

  void run() {
    while (!pending_.empty()) {
      Pending current = std::move(pending_.begin()->second);
      pending_.erase(pending_.begin());
      run(current);
    }
    branches_.join();
  }

 private:
  struct Pending {
    std::shared_ptr<Node> node;
    Tensor dy, skip;  // skip: the last gradient that arrived, if the node adds it itself
    void add_up() {
      if (skip.defined()) accumulate(dy, std::exchange(skip, {}));
    }
  };

  void count_uses(const Edge& edge);
  void arrive(const char* from, const Edge& edge, const Tensor& gradient);
  void run(Pending& current);

  bool retain_graph_;
  LeafDone leaf_done_;
  std::map<uint64_t, Pending, std::greater<>> pending_;  // by node number, latest first
  std::map<Variable::State*, int64_t> uses_;  // of each leaf, by nodes that have not run yet
  BranchScope branches_;
};

void Engine::count_uses(const Edge& edge) {
  std::set<Node*> seen;
  std::vector<Node*> open;
  const auto follow = [&](const Edge& input) {
    if (input.leaf) ++uses_[input.leaf.get()];
    if (input.producer && seen.insert(input.producer.get()).second)
      open.push_back(input.producer.get());
  };
  follow(edge);
  while (!open.empty()) {
    const Node* node = open.back();
    open.pop_back();
    for (const Edge& input : node->inputs) follow(input);
  }
}

void Engine::arrive(const char* from, const Edge& edge, const Tensor& gradient) {
  const Shape& wanted = edge.producer ? edge.producer->shape : edge.leaf->value.shape();
  check(gradient.shape() == wanted, "backward", from, " returned a gradient ", gradient.shape(),
        " for an input ", wanted);
  if (!edge.producer) {
    Tensor& grad = edge.leaf->grad;
    // A leaf can take a gradient that a branch is still computing; nothing else can use it.
    if (grad.defined() && (branches_.is_pending(grad) || branches_.is_pending(gradient)))
      branches_.join();
    return accumulate(grad, gradient);
  }
  if (branches_.is_pending(gradient)) branches_.join();
  Pending& entry = pending_[edge.producer->number];
  entry.node = edge.producer;
  entry.add_up();
  accumulate(entry.dy.defined() && entry.node->backward.takes_skip() ? entry.skip : entry.dy,
             gradient);
}

void Engine::run(Pending& current) {
  Node& node = *current.node;
  check(static_cast<bool>(node.backward), "backward", "the graph of ", node.name,
        " was freed by an earlier backward(); pass retain_graph to keep it");
  if (const auto result = node.retains.lock()) {
    current.add_up();
    accumulate(result->grad, current.dy);
  }
  Needed needed;
  for (const Edge& edge : node.inputs) needed.push_back(edge.producer || edge.leaf);
  const Gradients gradients = node.backward(std::move(current.dy), std::move(current.skip), needed);
  check(gradients.list.size() == node.inputs.size(), "backward", node.name, " returned ",
        gradients.list.size(), " gradients for ", node.inputs.size(), " inputs");
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    if (needed[i] && gradients.list[i].defined())
      arrive(node.name, node.inputs[i], gradients.list[i]);
  }
  for (const Edge& edge : node.inputs) {
    if (!leaf_done_ || !edge.leaf || --uses_[edge.leaf.get()] > 0) continue;
    if (branches_.is_pending(edge.leaf->grad)) branches_.join();
    leaf_done_(Variable(edge.leaf));
  }
  if (retain_graph_) return;
  node.backward = nullptr;
  node.inputs.clear();
}

void backward(const Variable& loss, bool retain_graph) {
  Engine(loss, retain_graph, {}).run();
}

void backward(const Variable& loss, const std::function<void(const Variable& leaf)>& leaf_done) {
  Engine(loss, /*retain_graph=*/false, leaf_done).run();
}

std::vector<TapeEntry> take_tape(const Variable& result) {
  std::vector<TapeEntry> tape;
  std::map<uint64_t, std::shared_ptr<Node>> open;  // by number
  const auto reach = [&](const Edge& edge) {
    if (edge.producer) open[edge.producer->number] = edge.producer;
  };
  reach(Edge(result));
  const MemoryPool& pool = result.value().backend().pool();
  while (!open.empty()) {
    const std::shared_ptr<Node> node = std::prev(open.end())->second;
    open.erase(node->number);
    TapeEntry entry{node->number, node->name, {}, node->shape};
    for (const Edge& edge : node->inputs) {
      reach(edge);
      if (!edge.shape) continue;
      TapeEntry::Input input{{}, *edge.shape};
      if (edge.producer) input.made_by = edge.producer->number;
      if (edge.leaf) input.leaf = edge.leaf->value.address();
      entry.inputs.push_back(input);
    }
    const size_t before = pool.current_bytes();
    node->backward = nullptr;
    entry.saved_bytes = before - pool.current_bytes();
    node->inputs.clear();
    tape.push_back(std::move(entry));
  }
  std::reverse(tape.begin(), tape.end());
  return tape;
}

}  // namespace versor
