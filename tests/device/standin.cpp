// Two strict stand-ins for CUDA devices, for a CPU build of torch.
//
// They take the dispatch key CUDA itself: torch sees tensors of cuda:0 and cuda:1. Every operator
// runs the CPU's kernel on the same memory, after a look at what CUDA would refuse, and tells of
// every wait of the host and every transfer. standin.py loads this file's library.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

#include <array>
#include <atomic>
#include <cstring>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "operators.h"  // WITHOUT_CUDA and SCALARS_PASS, written by build.py

namespace {
using c10::Device;
using c10::DeviceIndex;
using c10::IValue;

constexpr DeviceIndex CARDS = 2;
thread_local DeviceIndex current = 0;

Device card(DeviceIndex index) { return {c10::kCUDA, index < 0 ? current : index}; }

// --- Waits and transfers: kind, operator, bytes.
using Listener = void (*)(const char*, const char*, int64_t);
std::atomic<Listener> listener{nullptr};

void tell(const char* kind, const std::string& name, int64_t bytes) {
  if (auto call = listener.load()) call(kind, name.c_str(), bytes);
}

// --- Memory of a card is the CPU's: its storage keeps that of the CPU, or the other way round.
std::array<std::atomic<int64_t>, CARDS> held, peak;

struct Lease {
  c10::Storage of;
  DeviceIndex card;
  int64_t bytes;
  Lease(const c10::Storage& storage, DeviceIndex index, int64_t size) : of(storage), card(index), bytes(size) {
    const int64_t now = held[card] += bytes;
    auto before = peak[card].load();
    while (now > before && !peak[card].compare_exchange_weak(before, now)) {}
  }
  ~Lease() { held[card] -= bytes; }
};

c10::DataPtr leased(const c10::Storage& storage, DeviceIndex index, Device where) {
  const auto bytes = where.is_cuda() ? static_cast<int64_t>(storage.nbytes()) : 0;
  auto* lease = new Lease(storage, index, bytes);
  return {storage.mutable_data(), lease, [](void* it) { delete static_cast<Lease*>(it); }, where};
}

struct Allocator final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    c10::Storage fresh(c10::Storage::use_byte_size_t(), bytes, c10::GetCPUAllocator());
    return leased(fresh, current, card(-1));
  }
  void copy_data(void* to, const void* from, size_t bytes) const override { default_copy_data(to, from, bytes); }
} allocator;

c10::Storage seen_by(c10::Allocator* its, const c10::Storage& storage, DeviceIndex index, Device where) {
  return {c10::Storage::use_byte_size_t(), storage.nbytes(), leased(storage, index, where), its, true};
}

// --- The current device of a thread; streams and events are none.
struct Guard final : c10::impl::NoOpDeviceGuardImpl<c10::DeviceType::CUDA> {
  Device getDevice() const override { return card(-1); }
  void uncheckedSetDevice(Device d) const noexcept override { if (d.has_index()) current = d.index(); }
  void setDevice(Device d) const override {
    TORCH_CHECK(d.index() < CARDS, "CUDA error: invalid device ordinal");
    uncheckedSetDevice(d);
  }
  Device exchangeDevice(Device d) const override {
    const auto before = getDevice();
    setDevice(d);
    return before;
  }
  DeviceIndex deviceCount() const noexcept override { return CARDS; }
  c10::Stream getStream(Device d) const noexcept override { return c10::Stream(c10::Stream::DEFAULT, card(d.index())); }
  c10::Stream getDefaultStream(Device d) const override { return getStream(d); }
  c10::Stream exchangeStream(c10::Stream s) const noexcept override { return s; }
  void record(void**, const c10::Stream&, DeviceIndex, c10::EventFlag) const override {}
  void block(void*, const c10::Stream&) const override {}
  bool queryEvent(void*) const override { return true; }
};
C10_REGISTER_GUARD_IMPL(CUDA, Guard)

// --- A generator of a card draws what the CPU's draws from the same seed.
struct Generator final : c10::GeneratorImpl {
  at::Generator cpu;
  explicit Generator(DeviceIndex index, at::Generator like = at::detail::createCPUGenerator())
      : GeneratorImpl(card(index), c10::DispatchKeySet(c10::DispatchKey::CUDA)), cpu(std::move(like)) {}
  void set_current_seed(uint64_t seed) override { cpu.set_current_seed(seed); }
  uint64_t current_seed() const override { return cpu.current_seed(); }
  uint64_t seed() override { return cpu.seed(); }
  void set_offset(uint64_t) override { TORCH_CHECK(false, "the stand-in's generators have no offset"); }
  uint64_t get_offset() const override { return 0; }
  void set_state(const c10::TensorImpl& state) override { cpu.unsafeGetGeneratorImpl()->set_state(state); }
  c10::intrusive_ptr<c10::TensorImpl> get_state() const override { return cpu.unsafeGetGeneratorImpl()->get_state(); }
  Generator* clone_impl() const override { return new Generator(device_.index(), cpu.clone()); }
};

std::array<at::Generator, CARDS> defaults;  // objects of Python's, handed over by standin.py

at::Generator of_cpu(const at::Generator& generator) {
  return static_cast<Generator*>(generator.unsafeGetGeneratorImpl())->cpu;
}
}  // namespace

namespace at {
struct CUDAHooks final : CUDAHooksInterface {
  explicit CUDAHooks(CUDAHooksArgs) {}
  void init() const override {}
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasCUDA() const override { return true; }
  bool hasPrimaryContext(DeviceIndex) const override { return true; }
  const Generator& getDefaultGenerator(DeviceIndex i) const override { return defaults.at(card(i).index()); }
  Generator getNewGenerator(DeviceIndex i) const override { return make_generator<::Generator>(i); }
  c10::Allocator* getPinnedMemoryAllocator() const override { return c10::GetCPUAllocator(); }
  c10::Allocator* getCUDADeviceAllocator() const override { return &allocator; }
  int getNumGPUs() const override { return CARDS; }
  DeviceIndex deviceCount() const override { return CARDS; }
  DeviceIndex current_device() const override { return current; }
  DeviceIndex getCurrentDevice() const override { return current; }
  void setCurrentDevice(DeviceIndex i) const override { current = i; }
  DeviceIndex exchangeDevice(DeviceIndex i) const override { return std::exchange(current, card(i).index()); }
  DeviceIndex maybeExchangeDevice(DeviceIndex i) const override { return exchangeDevice(i); }
  void deviceSynchronize(DeviceIndex) const override {}
};
using at::CUDAHooksRegistry;
using at::RegistererCUDAHooksRegistry;
REGISTER_CUDA_HOOKS(CUDAHooks);
}  // namespace at

namespace {
// --- What one call of the CPU's kernel sees of a card's tensors, and what of it comes back.
class Crossing {
 public:
  explicit Crossing(DeviceIndex index) : index_(index) {}

  c10::Storage over(const c10::Storage& mine) {
    for (auto& [ours, cpu] : storages_) if (ours.unsafeGetStorageImpl() == mine.unsafeGetStorageImpl()) return cpu;
    return storages_.emplace_back(mine, seen_by(c10::GetCPUAllocator(), mine, index_, c10::kCPU)).second;
  }

  at::Tensor over(const at::Tensor& mine) {
    for (auto& [ours, cpu] : tensors_) if (ours.is_same(mine)) return cpu;
    auto cpu = at::detail::make_tensor<c10::TensorImpl>(over(mine.storage()), c10::DispatchKeySet(c10::DispatchKey::CPU), mine.dtype());
    shape(cpu, mine);
    return tensors_.emplace_back(mine, cpu).second;
  }

  at::Tensor back(const at::Tensor& cpu) {
    if (!cpu.defined() || !cpu.is_cpu()) return cpu;
    for (auto& [ours, theirs] : tensors_) if (theirs.is_same(cpu)) return ours;
    auto mine = back(cpu.storage());
    // A view has the keys of its base, in inference mode, too.
    for (auto& [ours, theirs] : tensors_)
      if (ours.storage().unsafeGetStorageImpl() == mine.unsafeGetStorageImpl()) {
        auto view = at::detail::make_tensor<c10::TensorImpl>(c10::TensorImpl::VIEW, std::move(mine), ours.key_set(), cpu.dtype());
        shape(view, cpu);
        return view;
      }
    auto made = at::detail::make_tensor<c10::TensorImpl>(std::move(mine), c10::DispatchKeySet(c10::DispatchKey::CUDA), cpu.dtype());
    shape(made, cpu);
    return made;
  }

  // Arguments that the kernel has resized, or set to another storage.
  void settle() {
    for (auto& [ours, cpu] : storages_)
      if (cpu.data() != ours.data()) {
        ours.set_data_ptr_noswap(leased(cpu, index_, card(index_)));
        ours.set_nbytes(cpu.nbytes());
      }
    for (size_t i = 0; i < tensors_.size(); ++i) {
      auto [ours, cpu] = tensors_[i];
      auto mine = back(cpu.storage());
      if (mine.unsafeGetStorageImpl() != ours.storage().unsafeGetStorageImpl())
        ours.unsafeGetTensorImpl()->set_storage_keep_dtype(std::move(mine));
      if (cpu.sizes() != ours.sizes() || cpu.strides() != ours.strides() || cpu.storage_offset() != ours.storage_offset()) shape(ours, cpu);
    }
  }

 private:
  DeviceIndex index_;
  std::vector<std::pair<c10::Storage, c10::Storage>> storages_;
  std::vector<std::pair<at::Tensor, at::Tensor>> tensors_;

  static void shape(const at::Tensor& it, const at::Tensor& like) {
    it.unsafeGetTensorImpl()->set_sizes_and_strides(like.sizes(), like.strides(), like.storage_offset());
  }

  c10::Storage back(const c10::Storage& cpu) {
    for (auto& [ours, theirs] : storages_) if (theirs.unsafeGetStorageImpl() == cpu.unsafeGetStorageImpl()) return ours;
    return storages_.emplace_back(seen_by(&allocator, cpu, index_, card(index_)), cpu).first;
  }
};

// --- What is to know of an operator.
struct Operator {
  std::string name;
  bool refused, scalars_pass, indexes, puts, waits, copies, draws_aside, leaves_open;
  explicit Operator(const c10::OperatorName& full) : name(full.name.substr(full.name.find("::") + 2)) {
    // Where the host must know a shape before it goes on.
    static const std::unordered_set<std::string> WAITING = {
        "nonzero", "masked_select", "_unique", "_unique2", "unique_dim", "unique_consecutive",
        "unique_dim_consecutive", "bincount", "histc"};
    waits = WAITING.count(name) || (name == "repeat_interleave" && full.overload_name == "Tensor");
    puts = name == "_index_put_impl_";
    indexes = puts || name == "index";
    copies = name == "copy_";
    draws_aside = name == "native_dropout";
    leaves_open = name == "empty" || name == "empty_strided";
    if (!full.overload_name.empty()) name += "." + full.overload_name;
    refused = WITHOUT_CUDA.count(name);
    scalars_pass = SCALARS_PASS.count(name);
  }
};

const Operator& about(const c10::OperatorHandle& handle) {
  thread_local std::unordered_map<const void*, Operator> seen;
  return seen.try_emplace(&handle.schema(), handle.operator_name()).first->second;
}

template <class F> void replace(IValue& value, F f) {
  if (value.isTensor() && value.toTensor().defined()) {
    value = f(value.toTensor());
  } else if (value.isTensorList()) {
    auto all = value.toTensorVector();
    for (auto& one : all) if (one.defined()) one = f(one);
    value = c10::List<at::Tensor>(all);
  } else if (value.isOptionalTensorList()) {
    c10::List<std::optional<at::Tensor>> all;
    for (const std::optional<at::Tensor>& one : value.toOptionalTensorList())
      all.push_back(one && one->defined() ? std::optional(f(*one)) : one);
    value = all;
  }
}

std::string mismatch(const Device& device, const Device& other, const std::string& argument, const std::string& name) {
  return "Expected all tensors to be on the same device, but found at least two devices, " + device.str() + " and " +
      other.str() + "! (when checking argument " + argument + " in method stand-in_" + name + ")";
}

void require_one_device(const Operator& op, const c10::Argument& argument, IValue& value, DeviceIndex index) {
  const bool written = argument.alias_info() && argument.alias_info()->isWrite();
  const bool indices = op.indexes && argument.name() == "indices";
  replace(value, [&](const at::Tensor& x) {
    const bool scalar = x.is_cpu() && x.dim() == 0 && !written && op.scalars_pass;
    const bool indexed = x.is_cpu() && indices;
    TORCH_CHECK(x.device() == card(index) || scalar || indexed, mismatch(card(index), x.device(), argument.name(), op.name));
    if (indexed) tell("to device", op.name + " by a CPU index", x.nbytes());
    return x;
  });
}

// Copies between devices are what transfers are.
void tell_transfer(const at::Tensor& to, const at::Tensor& from) {
  if (to.device() == from.device()) return;
  tell(from.is_cpu() ? "to device" : to.is_cpu() ? "to host" : "between devices", "copy_", from.nbytes());
}

at::Generator drawing(const IValue& value, DeviceIndex index) {
  if (value.isNone()) return of_cpu(defaults.at(index));
  auto generator = value.toGenerator();
  TORCH_CHECK(generator.device() == card(index), "Expected a '", card(index), "' device type for generator but found '", generator.device(), "'");
  return of_cpu(generator);
}

void run(const c10::OperatorHandle& handle, torch::jit::Stack* stack) {
  const auto& op = about(handle);
  const auto& schema = handle.schema();
  TORCH_CHECK_NOT_IMPLEMENTED(!op.refused, "Could not run 'aten::", op.name, "' with arguments from the 'CUDA' backend: it has no kernel there");
  const size_t count = schema.arguments().size();
  IValue* given = stack->data() + stack->size() - count;

  std::optional<DeviceIndex> index;
  bool masked = false;
  for (size_t i = 0; i < count; ++i) {
    replace(given[i], [&](const at::Tensor& x) {
      if (x.is_cuda() && !index) index = x.get_device();
      masked |= schema.arguments()[i].name() == "indices" && (x.scalar_type() == at::kBool || x.scalar_type() == at::kByte);
      return x;
    });
    if (given[i].isDevice() && given[i].toDevice().is_cuda()) {
      if (!index) index = card(given[i].toDevice().index()).index();
      given[i] = Device(c10::kCPU);
    }
  }
  if (!index) index = current;
  TORCH_CHECK(*index < CARDS, "CUDA error: invalid device ordinal");
  const bool filled = op.puts && given[2].toTensor().is_cpu();
  if (op.copies) tell_transfer(given[0].toTensor(), given[1].toTensor());
  Crossing crossing(*index);
  for (size_t i = 0; i < count; ++i) {
    const auto& argument = schema.arguments()[i];
    if (!op.copies) require_one_device(op, argument, given[i], *index);
    if (argument.type()->isSubtypeOf(*c10::OptionalType::create(c10::GeneratorType::get()))) given[i] = drawing(given[i], *index);
    if (given[i].isStorage()) given[i] = crossing.over(given[i].toStorage());
    replace(given[i], [&](const at::Tensor& x) { return x.is_cuda() ? crossing.over(x) : x; });
  }
  // One value, which is the host's, is filled in where the mask is; otherwise its places are counted.
  if (op.waits || (op.puts && masked && !filled)) tell("wait", op.name, 0);

  // Dropout takes the CPU's own generator: that of the card is put into its place.
  auto host = at::detail::getDefaultCPUGenerator();
  const auto before = op.draws_aside ? host.get_state() : at::Tensor();
  if (op.draws_aside) host.set_state(of_cpu(defaults.at(*index)).get_state());
  handle.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
  if (op.draws_aside) {
    of_cpu(defaults.at(*index)).set_state(host.get_state());
    host.set_state(before);
  }
  crossing.settle();
  const size_t results = schema.returns().size();
  for (IValue* value = stack->data() + stack->size() - results; value != stack->data() + stack->size(); ++value) {
    if (!value->isTensor() && !value->isTensorList() && !value->isNone()) tell("wait", op.name, 0);
    replace(*value, [&](const at::Tensor& x) {
      // Memory that nothing has written to is no zeros by luck.
      if (op.leaves_open && x.storage().nbytes()) std::memset(x.storage().mutable_data(), 0xA5, x.storage().nbytes());
      return crossing.back(x);
    });
  }
}

TORCH_LIBRARY_IMPL(_, CUDA, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&run>()); }
TORCH_LIBRARY_IMPL(aten, CUDA, m) {
  // What torch composes for every device from kernels that only a build with CUDA has.
  for (const char* name : {"copy_", "convolution", "convolution_backward"})
    m.impl(name, torch::CppFunction::makeFromBoxedFunction<&run>());
}
[[maybe_unused]] const bool registered = (c10::SetAllocator(c10::DeviceType::CUDA, &allocator, 200), true);
}  // namespace

extern "C" {
int standin_cards() { return CARDS; }
int standin_current() { return current; }
void standin_use(int index) { current = static_cast<DeviceIndex>(index); }
int64_t standin_held(int index) { return held[index]; }
int64_t standin_peak(int index) { return peak[index]; }
void standin_forget_peak(int index) { peak[index] = held[index].load(); }
void standin_listen(Listener call) { listener = call; }
void standin_draw_from(int index, c10::GeneratorImpl* generator) {
  defaults[index] = at::Generator(c10::intrusive_ptr<c10::GeneratorImpl>::reclaim_copy(generator));
}
}
