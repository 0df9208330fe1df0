// A control domain and two guests, on a CPU each, that make any hypercall and use their memory in between.
// Most inputs are valid: what a call names is picked from what there is at the moment. Guests end, are
// destroyed half-built or alive, and others take their places.
//
// A step is one call, or the few that only make sense together. The members are in a file per family.
#pragma once

#include <torii/abi/domctl.h>
#include <torii/abi/grant_table.h>

#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "kit/hosted_domain.h"
#include "kit/random/chooser.h"

namespace torii::test {

struct Tally {
    uint64_t calls = 0;
    uint64_t succeeded = 0;
};

// Which domains there are at the moment, for vCPUs that run at once and each act for themselves.
struct SharedDomains {
    static constexpr unsigned kSlots = 3;
    struct Entry {
        DomId id{};
        std::vector<Mfn> tables;
        bool dying = false;                   // somebody is ending it
        std::array<abi::GrantMap, 4> maps{};  // made by one of its vCPUs; any of them may end them
    };
    std::mutex lock;
    std::array<Entry, kSlots> entries;
    std::atomic<uint64_t> changes{1};

    void enter(unsigned slot, DomId id, const std::vector<Mfn>& tables) {
        const std::lock_guard guard(lock);
        entries[slot] = {id, tables, false, {}};
        ++changes;
    }
};

class RandomWorld {
public:
    explicit RandomWorld(Chooser& chooser);
    // As one vCPU of many sees it, which runs on a real CPU (fakes/fake_cpus.h): what it calls, it calls for
    // itself, and of the others it knows numbers. The first vCPU of the control domain ends and builds the
    // guests.
    RandomWorld(Chooser& chooser, SharedDomains& shared, Vcpu& running);
    RandomWorld(const RandomWorld&) = delete;
    ~RandomWorld();

    // Any call.
    void step();
    // One of the calls that page tables are made of, or a whole tree of them.
    void page_table_step();

    // What a recount finds wrong.
    [[nodiscard]] static std::vector<std::string> findings();
    // Frames that are free or the heap's: when all domains are gone, as many as before the first one came.
    [[nodiscard]] static uint64_t frames_there();
    static constexpr unsigned kFrames = 20;  // of a new guest
    static constexpr uint32_t kPorts = 64;
    // Ends all domains; true when every frame is back that was there when the world began.
    [[nodiscard]] bool end();

    // What was done: by name, by number; frames seen in use by type.
    void note_types();
    std::map<std::string, Tally> tallies;
    std::array<Tally, abi::kHypercallCount> by_number;
    std::map<FrameType, uint64_t> types;
    uint64_t unfinished_calls = 0;  // abandoned or interrupted half-way
    uint64_t domains_ended = 0;
    uint64_t ended_while_in_use = 0;  // of these: others still held frames of theirs
    std::string last;

private:
    static constexpr unsigned kSlots = SharedDomains::kSlots;
    static constexpr unsigned kFewestFrames = 14;
    static constexpr unsigned kMostFrames = 26;
    static constexpr unsigned kPages = 8;
    static constexpr uint32_t kRefs = 6;
    static constexpr uint16_t kSelf = 0x7ff0;

    using Number = abi::Hypercall;
    using Command = abi::MmuextOpCommand;

    // --- choices (world.cpp) ---
    unsigned pick(unsigned below) { return chooser_.below(below); }
    bool chance(unsigned percent) { return chooser_.chance(percent); }
    template <class T>
    T one_of(std::initializer_list<T> values) {
        return values.begin()[pick(static_cast<unsigned>(values.size()))];
    }
    HostedDomain& control() { return *slots_[0].domain; }
    HostedDomain& some();   // that can make calls
    HostedDomain& guest();  // one that isn't the control domain, if there is any
    // Who makes a call; as a vCPU of many, always itself.
    HostedDomain& caller() { return is_alone() ? some() : *slots_[own_].domain; }
    HostedDomain& calling_guest() { return is_alone() ? guest() : *slots_[own_].domain; }
    HostedDomain& caller_with_rights() { return is_alone() ? control() : *slots_[own_].domain; }
    // Whether this world is all that happens, so that outcomes can be foretold.
    [[nodiscard]] bool is_alone() const { return shared_ == nullptr; }
    [[nodiscard]] bool may_control() const { return is_alone() || own_ == 0; }
    // Whose memory is ours to write to.
    [[nodiscard]] bool is_own(const HostedDomain& domain) const {
        return is_alone() || &domain == slots_[own_].domain.get();
    }
    void follow_others();
    Mfn some_frame(HostedDomain& domain) { return domain.mfn(pick(domain.frames())); }
    Mfn frame_of_type(HostedDomain& domain, FrameType type);
    Mfn unused_frame(HostedDomain& domain);

    // --- calls (world.cpp) ---
    int64_t call(HostedDomain& domain, const char* name, Number number,
                 std::initializer_list<uint64_t> arguments);
    int64_t mmuext(HostedDomain& domain, const char* name, Command command, uint64_t mfn, uint64_t second = 0,
                   uint16_t about = kSelf);
    void note(const char* name, Number number, int64_t result);
    // Of a call whose elements have a status each.
    void note_status(const char* name, bool succeeded);
    template <class T>
    static uint64_t address(const T& object) {
        return reinterpret_cast<uint64_t>(&object);
    }

    // --- page tables (paging.cpp) ---
    uint64_t some_flags();
    uint64_t l1_entry(HostedDomain& domain);
    uint64_t entry_for(HostedDomain& domain, unsigned level);
    bool make_writable(HostedDomain& domain, Mfn mfn);
    void prepare_table(HostedDomain& domain, Mfn mfn, unsigned level);
    abi::MmuUpdate some_update(HostedDomain& domain);
    void pin();
    void unpin();
    void update();
    void foreign_update();
    void map_page();
    void map_foreign_page();
    void base_pointer();
    void page_operation();
    void flush();
    void build_tree();

    // --- descriptors, registers, callbacks (registers.cpp) ---
    void set_gdt();
    void set_ldt();
    void update_descriptor();
    void set_handlers();
    void set_registers();
    void iret();
    void small_call();
    void refused_call();

    // --- memory (memory.cpp) ---
    void change_memory();
    void populate(HostedDomain& caller, HostedDomain& owner);
    void decrease(HostedDomain& caller, HostedDomain& owner);
    void exchange();
    void ask_about_memory();
    void acquire_resource();

    // --- grants (grants.cpp) ---
    void offer_grants();
    void end_mapping(HostedDomain& mapper, const abi::GrantMap& map);
    void map_grant();
    void unmap_grant();
    void copy_grant();
    void transfer_grant();
    void manage_grants();

    // --- events (events.cpp) ---
    void bind_ports();
    void use_ports();
    void change_ports();
    void set_up_fifo();
    static void check_ports(Domain& domain, std::vector<std::string>& findings);
    uint32_t some_port(HostedDomain& domain, uint32_t kind_wanted);
    void take_events();

    // --- vCPUs and time (vcpus.cpp) ---
    void sched();
    void vcpu();
    void second_vcpu();
    void pass_time();
    void stop_guest();

    // --- the control domain's work (control.cpp) ---
    int64_t domctl(const char* name, abi::Domctl& request, unsigned most = 10'000);
    static abi::Domctl domctl_request(abi::DomctlCommand command, DomId about);
    void control_guest();
    void ask_about_domains();
    void control_machine();
    void end_guest();
    void help_to_end(unsigned number);
    bool destroy_part(DomId id, unsigned most);
    void build_guest(unsigned slot);
    bool build_memory(DomId id, std::vector<Mfn>& tables);

    void use_memory();

    struct Slot {
        std::unique_ptr<HostedDomain> domain;  // null: nobody yet
        bool dying = false;                    // destroydomain has begun
        Mfn first_root{};
    };
    struct Mapping {
        HostedDomain* mapper;
        abi::GrantMap map;
    };
    [[nodiscard]] bool can_call(const Slot& slot) const;
    [[nodiscard]] Slot& slot_of(HostedDomain& domain);
    void forget_mappings_of(const HostedDomain& mapper);

    Chooser& chooser_;
    SharedDomains* shared_ = nullptr;
    unsigned own_ = 0;
    bool builds_guests_ = true;
    uint64_t seen_changes_ = 0;
    uint64_t steps_ = 0;
    Mfn event_words_{};  // a page that was given for them, if any
    uint64_t frames_before_ = 0;
    std::array<Slot, kSlots> slots_;
    std::vector<Mapping> mappings_;
};

}  // namespace torii::test
