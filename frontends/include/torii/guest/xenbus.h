#pragma once
// A frontend's side of xenbus (public io/xenbus.h): where its device's two directories are in xenstore, and
// the states by which both ends find each other. Waits by looking again and again.

#include <torii/abi/domid.h>
#include <torii/abi/io/xenbus_state.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>

namespace torii::guest {

// Text of a path or number, put together without allocating; too long is cut off.
class StoreText {
public:
    StoreText& add(std::string_view text);
    StoreText& add(uint64_t number);
    std::string_view view() const { return {text_, length_}; }

private:
    char text_[160];
    size_t length_ = 0;
};

class XenbusDevice {
public:
    // Finds the device "device/TYPE/NUMBER" ("vbd", "vif") of this domain. False when there is none.
    bool find(std::string_view type, uint32_t number);

    abi::RawDomId backend_domain() const { return backend_domain_; }

    bool write(std::string_view name, std::string_view value) const;
    bool write(std::string_view name, uint64_t value) const;
    bool remove(std::string_view name) const;
    bool set_state(abi::XenbusState state) const { return write("state", static_cast<uint64_t>(state)); }

    // What the back end has written; nothing when it is missing or no number.
    std::optional<uint64_t> backend_number(std::string_view name) const;
    // Empty when it is missing; valid until the next request to the store.
    std::string_view backend_text(std::string_view name) const;
    // Why the back end closed the device, in its own words ("error"; Torii's write it); valid as above.
    std::string_view backend_error() const { return backend_text("error"); }
    abi::XenbusState backend_state() const;
    // Waits until the back end is in one of the states; false after `timeout_ns`.
    bool wait_for_backend(std::initializer_list<abi::XenbusState> states, uint64_t timeout_ns) const;

    // Leaves a connection that is there, from whatever state, so that another can be made. False when the
    // back end does not follow in time.
    bool reset(uint64_t timeout_ns) const;

private:
    StoreText frontend_;
    StoreText backend_;
    abi::RawDomId backend_domain_ = 0;
};

}  // namespace torii::guest
