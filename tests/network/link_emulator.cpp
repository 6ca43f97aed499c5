// Cables with a rate and a latency, for kernels without `tc netem`: a switch whose ports are
// network interfaces of this machine (Linux, root). Each frame occupies its sender's line and then
// its receiver's for bits / rate, and arrives after the latency. A full line drops frames, as a
// switch does.
//   link_emulator MBIT_PER_SECOND LATENCY_MS PORT PORT...
// Prints "ready" once it forwards, and works until it is killed. RATE 0: no limit.
//
// Frames are taken whole, up to 64 KiB before segmentation (PACKET_VNET_HDR, see packet(7)), and so
// cost one copy for 45 frames on the cable; their time on the line is that of these 45. So it
// carries 8 Gbit/s on one core where none is asked for (measured with one TCP connection), and a
// latency of less than 0.1 ms of its own comes on top.
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using Mac = std::array<char, 6>;

// virtio_net_hdr of <linux/virtio_net.h>, which is no C++
struct OffloadHeader {
  uint8_t flags, gso_type;
  uint16_t header_length, gso_size, checksum_start, checksum_offset;
};
constexpr size_t kHeader = sizeof(OffloadHeader);
constexpr size_t kLargest = kHeader + (1 << 17);
constexpr double kEthernetHeaders = 14 + 20 + 20 + 12;   // repeated for each segment: MAC, IP, TCP
constexpr double kBetweenFrames = 24;                    // preamble, checksum and gap
constexpr auto kBuffer = std::chrono::milliseconds(20);  // of frames waiting for a line

struct Frame {
  Clock::time_point arrival;
  std::vector<char> bytes;  // OffloadHeader and the frame
};

struct Port {
  std::string name;
  int socket = -1;
  Clock::time_point sends_until{}, receives_until{};
  std::deque<Frame> on_the_way;  // to this port, in the order of arrival
};

[[noreturn]] void fail(const std::string& what) {
  throw std::runtime_error(what + ": " + std::strerror(errno));
}

int open_port(const std::string& name) {
  const int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
  if (fd < 0) fail("socket");
  const int on = 1, buffer = 1 << 24;
  if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof on) < 0) fail("PACKET_VNET_HDR");
  if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) < 0)
    fail("PACKET_IGNORE_OUTGOING");
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
  setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &buffer, sizeof buffer);
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = static_cast<int>(if_nametoindex(name.c_str()));
  if (address.sll_ifindex == 0) fail(name);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) < 0) fail(name);
  fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}

// The bytes that a frame takes on the cable, segmented if it is a large one.
double bytes_on_cable(const std::vector<char>& bytes) {
  OffloadHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  const double length = static_cast<double>(bytes.size() - kHeader);
  if (header.gso_type == 0 || header.gso_size == 0) return std::max(length, 60.0) + kBetweenFrames;
  const double segments = std::ceil((length - kEthernetHeaders) / header.gso_size);
  return length + (segments - 1) * kEthernetHeaders + segments * kBetweenFrames;
}

class Switch {
 public:
  Switch(double rate, double latency) : rate_(rate), latency_(seconds(latency)) {}

  void add_port(const std::string& name) { ports_.push_back({name, open_port(name), {}, {}, {}}); }

  void run() {
    std::vector<pollfd> polled;
    for (const Port& port : ports_) polled.push_back({port.socket, POLLIN, 0});
    for (;;) {
      const timespec wait = until_next();
      if (ppoll(polled.data(), polled.size(), next_ == Clock::time_point::max() ? nullptr : &wait,
                nullptr) < 0 &&
          errno != EINTR)
        fail("poll");
      for (size_t i = 0; i < ports_.size(); ++i) receive(i);
      deliver();
    }
  }

 private:
  static Clock::duration seconds(double s) {
    return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(s));
  }

  timespec until_next() const {
    const auto wait = std::max(Clock::duration::zero(), next_ - Clock::now());
    const int64_t ns = next_ == Clock::time_point::max() ? 0 : wait.count();
    return {ns / 1'000'000'000, ns % 1'000'000'000};
  }

  void receive(size_t from) {
    std::vector<char> buffer(kLargest);
    for (int frames = 0; frames < 64; ++frames) {
      const ssize_t length = recv(ports_[from].socket, buffer.data(), buffer.size(), 0);
      if (length < static_cast<ssize_t>(kHeader + sizeof(ether_header))) return;
      forward(from, {buffer.begin(), buffer.begin() + length});
    }
  }

  void forward(size_t from, const std::vector<char>& bytes) {
    Mac to, source;
    std::memcpy(to.data(), bytes.data() + kHeader, 6);
    std::memcpy(source.data(), bytes.data() + kHeader + 6, 6);
    port_of_[source] = from;
    const auto known = port_of_.find(to);
    const auto time = seconds(rate_ > 0 ? bytes_on_cable(bytes) * 8 / rate_ : 0);
    Port& sender = ports_[from];
    const auto now = Clock::now();
    if (sender.sends_until > now + kBuffer) return;
    sender.sends_until = std::max(now, sender.sends_until) + time;
    for (size_t i = 0; i < ports_.size(); ++i) {
      if (i == from || (known != port_of_.end() && known->second != i)) continue;
      Port& port = ports_[i];
      if (port.receives_until > now + kBuffer) continue;
      port.receives_until = std::max(sender.sends_until, port.receives_until + time);
      port.on_the_way.push_back({port.receives_until + latency_, bytes});
    }
  }

  // Frames for a port whose cable is pulled are lost.
  void deliver() {
    next_ = Clock::time_point::max();
    for (Port& port : ports_) {
      while (!port.on_the_way.empty() && port.on_the_way.front().arrival <= Clock::now()) {
        const std::vector<char>& bytes = port.on_the_way.front().bytes;
        [[maybe_unused]] const ssize_t sent = send(port.socket, bytes.data(), bytes.size(), 0);
        port.on_the_way.pop_front();
      }
      if (!port.on_the_way.empty()) next_ = std::min(next_, port.on_the_way.front().arrival);
    }
  }

  double rate_;
  Clock::duration latency_;
  std::vector<Port> ports_;
  std::map<Mac, size_t> port_of_;
  Clock::time_point next_ = Clock::time_point::max();
};

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 5)
    throw std::runtime_error("usage: link_emulator MBIT_PER_SECOND LATENCY_MS PORT PORT...");
  Switch between(std::stod(argv[1]) * 1e6, std::stod(argv[2]) / 1e3);
  for (int i = 3; i < argc; ++i) between.add_port(argv[i]);
  // timers to the microsecond, also beside processes that compute
  prctl(PR_SET_TIMERSLACK, 1);
  const sched_param priority{.sched_priority = 10};
  sched_setscheduler(0, SCHED_FIFO, &priority);
  std::puts("ready");
  std::fflush(stdout);
  between.run();
} catch (const std::exception& error) {
  std::fprintf(stderr, "error: link_emulator: %s\n", error.what());
  return 1;
}
