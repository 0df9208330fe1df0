#include <torii/guest/events.h>
#include <torii/guest/start.h>
#include <torii/guest/xenbus.h>
#include <torii/guest/xenstore.h>

namespace torii::guest {

namespace {

constexpr uint64_t kLookEveryNs = 5'000'000;

std::optional<uint64_t> number_in(std::string_view text) {
    if (text.empty() || text.size() > 19) return std::nullopt;
    uint64_t number = 0;
    for (const char digit : text) {
        if (digit < '0' || digit > '9') return std::nullopt;
        number = number * 10 + static_cast<uint64_t>(digit - '0');
    }
    return number;
}

std::optional<uint64_t> read_number(std::string_view path) {
    const StoreReply reply = store_read(path);
    return reply.ok() ? number_in(reply.payload) : std::nullopt;
}

StoreText below(const StoreText& directory, std::string_view name) {
    StoreText path = directory;
    path.add("/").add(name);
    return path;
}

}  // namespace

StoreText& StoreText::add(std::string_view text) {
    for (const char character : text) {
        if (length_ < sizeof(text_)) text_[length_++] = character;
    }
    return *this;
}

StoreText& StoreText::add(uint64_t number) {
    char digits[20];
    size_t count = 0;
    do {
        digits[count++] = static_cast<char>('0' + number % 10);
        number /= 10;
    } while (number != 0);
    while (count != 0)
        add(std::string_view(&digits[--count], 1));
    return *this;
}

bool XenbusDevice::find(std::string_view type, uint32_t number) {
    frontend_ = StoreText();
    frontend_.add("device/").add(type).add("/").add(uint64_t{number});
    const auto domain = read_number(below(frontend_, "backend-id").view());
    const StoreReply path = store_read(below(frontend_, "backend").view());
    if (!domain || !path.ok() || path.payload.empty()) return false;
    backend_ = StoreText();
    backend_.add(path.payload);
    backend_domain_ = static_cast<abi::RawDomId>(*domain);
    return true;
}

bool XenbusDevice::write(std::string_view name, std::string_view value) const {
    return store_write(below(frontend_, name).view(), value).ok();
}

bool XenbusDevice::write(std::string_view name, uint64_t value) const {
    StoreText text;
    text.add(value);
    return write(name, text.view());
}

bool XenbusDevice::remove(std::string_view name) const {
    return store_remove(below(frontend_, name).view()).ok();
}

std::optional<uint64_t> XenbusDevice::backend_number(std::string_view name) const {
    return read_number(below(backend_, name).view());
}

std::string_view XenbusDevice::backend_text(std::string_view name) const {
    const StoreReply reply = store_read(below(backend_, name).view());
    return reply.ok() ? reply.payload : std::string_view();
}

abi::XenbusState XenbusDevice::backend_state() const {
    const auto number = backend_number("state");
    if (!number || *number > static_cast<uint64_t>(abi::XenbusState::kReconfigured))
        return abi::XenbusState::kUnknown;
    return static_cast<abi::XenbusState>(*number);
}

bool XenbusDevice::wait_for_backend(std::initializer_list<abi::XenbusState> states,
                                    uint64_t timeout_ns) const {
    const uint64_t deadline = system_time() + timeout_ns;
    while (true) {
        const abi::XenbusState now = backend_state();
        for (const abi::XenbusState state : states) {
            if (now == state) return true;
        }
        if (system_time() > deadline) return false;
        wait_until([](void*) { return false; }, nullptr, kLookEveryNs);
    }
}

bool XenbusDevice::reset(uint64_t timeout_ns) const {
    using State = abi::XenbusState;
    if (backend_state() == State::kConnected) {
        set_state(State::kClosing);
        if (!wait_for_backend({State::kClosing, State::kClosed}, timeout_ns)) return false;
    }
    if (backend_state() == State::kClosing || backend_state() == State::kClosed) {
        set_state(State::kClosed);
        if (!wait_for_backend({State::kClosed, State::kInitWait}, timeout_ns)) return false;
    }
    set_state(State::kInitialising);
    return wait_for_backend({State::kInitWait}, timeout_ns);
}

}  // namespace torii::guest
